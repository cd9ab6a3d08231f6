// SRAM handed out: nothing twice, all columns alike where weights need them, and errors with
// numbers.
#include "runtime/compiler/memory_map.h"

#include <algorithm>
#include <map>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

// Words of each column that a matrix takes; every word once.
class Words {
 public:
  void Add(const Matrix& m) {
    for (int tile = 0; tile < m.tiles(); ++tile) {
      for (int slot = 0; slot < m.slots; ++slot) {
        for (const QuadWords& q : m.WordsOf(tile, slot)) Add(q, m.tile_cycles(tile));
      }
    }
  }
  int In(int column) const { return counts_.at(column); }
  bool Has(int column, int address) const { return taken_.count({column, address}) > 0; }

 private:
  void Add(const QuadWords& q, int count) {
    for (int i = 0; i < count; ++i) {
      EXPECT_GE(q.address, 0);
      EXPECT_LT(q.address + i, kWordsPerSlice);
      const std::pair<int, int> word{q.column, q.address + i};
      EXPECT_EQ(taken_[word]++, 0) << word.first << " " << word.second;
    }
    counts_[q.column] += count;
  }
  std::map<std::pair<int, int>, int> taken_;
  std::map<int, int> counts_;
};

TEST(MemoryMapTest, WithoutAShareWeightsKeepToTheirColumns) {
  MemoryMap memory;
  const Matrix m = memory.Place(kWest, 1000, 40);
  Words words;
  words.Add(m);
  for (int c = kColumns; c < 11; ++c) EXPECT_EQ(words.In(c), m.weight_rows());
}

TEST(MemoryMapTest, AShareFillsAllColumnsAlike) {
  // 8 of 11 columns stream at a time: a column serves 8 of 11 slots when the activation columns
  // serve 8/11 of them: 745/1024.
  MemoryMap memory(MemoryMap::kWhole + 745);
  Words words;
  int rows = 0;
  for (int i = 0; i < 3; ++i) {
    const Matrix m = memory.Place(kEast, 6 * kTileRows + 40, 52 + i);
    words.Add(m), rows += m.weight_rows();
  }
  for (int c = 0; c < 11; ++c) EXPECT_NEAR(words.In(c), rows * 8.0 / 11, rows * 0.02) << c;
}

// Of a matrix that comes first the slots in the middle, and of others none before all of its slots do.
TEST(MemoryMapTest, MatricesTakeTurnsWithTheActivationColumns) {
  const auto in_activations = [](const Matrix& m, int slot) {
    const WeightWords words = m.WordsOf(0, slot);
    return std::count_if(words.begin(), words.end(), [](const QuadWords& q) { return q.column < kColumns; });
  };
  for (const int share : {MemoryMap::kWhole / 2, MemoryMap::kWhole, MemoryMap::kAll}) {
    MemoryMap memory(share);
    const Matrix later = memory.Place({kEast, 0, 320, 8}, kColumns, MemoryMap::Turn::kLater);
    const Matrix first = memory.Place({kEast, 0, 320, 8}, kColumns, MemoryMap::Turn::kFirst);
    for (int slot = 0; slot < 8; ++slot) {
      const bool middle = slot >= 2 && slot < 6;
      EXPECT_EQ(in_activations(first, slot), share >= MemoryMap::kWhole || middle ? 3 : 0) << slot;
      EXPECT_EQ(in_activations(later, slot), share == MemoryMap::kAll ? 3 : 0) << slot;
    }
  }
}

TEST(MemoryMapTest, WeightsLeaveColumnsAloneThatTheyMayNotTake) {
  MemoryMap memory(MemoryMap::kAll);
  memory.Words(kWest, 1, 30);
  const Matrix m = memory.Place(kWest, 640, 10, 1, 2);
  Words words;
  words.Add(m);
  for (int a = 0; a < 30; ++a) EXPECT_FALSE(words.Has(1, a));
  for (int a = 0; a < kWordsPerSlice; ++a) ASSERT_FALSE(words.Has(2, a));
  EXPECT_TRUE(memory.Check().ok());
  EXPECT_EQ(memory.bytes_used(), (int64_t{200} * kWeightSlices + 30 * 4) * kVectorBytes);
}

TEST(MemoryMapTest, WhatIsTooMuchIsSaidWithItsBytes) {
  MemoryMap weights;
  weights.WeightRows(kEast, kWordsPerSlice + 3);
  EXPECT_NE(weights.Check().message().find("30720 B too many"), absl::string_view::npos)
      << weights.Check();
  MemoryMap both(MemoryMap::kAll);
  both.Words(kWest, 0, kWordsPerSlice - 9);
  both.Place(kWest, 320, 1);
  EXPECT_NE(both.Check().message().find("1280 B too many"), absl::string_view::npos)
      << both.Check();
}

TEST(MemoryMapTest, AColumnIsFilledNoFurtherThanItsRoom) {
  MemoryMap::Room room = MemoryMap::kAllRoom;
  room[1] = {500, 95, 0};
  MemoryMap memory({MemoryMap::kAll, MemoryMap::kAll}, room);
  Words words;
  const Matrix m = memory.Place(kEast, 960, 40);
  words.Add(m);
  EXPECT_EQ(words.In(0), 500);
  EXPECT_EQ(words.In(1), 90);  // slots of ten words
  int all = 0;
  for (int c = 0; c < 11; ++c) all += c == 2 ? 0 : words.In(c);
  EXPECT_EQ(all, 8 * m.weight_rows());
}

TEST(MemoryMapTest, RowsOfAnEmbeddingTakeTheColumnsThatTheyNeed) {
  MemoryMap memory;
  memory.WeightRows(kWest, 5);
  // 26 words: 16 in all eight columns, 10 in five of them.
  EXPECT_EQ(memory.EmbeddingRows(kWest, 26, 100), 5);
  EXPECT_EQ(memory.bytes_used(), (5 * 8 + 100 * 8 + 100 * 5) * int64_t{4} * kVectorBytes);
}

}  // namespace
}  // namespace lockstep
