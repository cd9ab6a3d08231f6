// Layouts: bytes by use, for the whole model and for parts of it, without compiling.
#include "runtime/compiler/layout.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "runtime/compiler/matrix_cuts.h"
#include "tests/runtime/odd_model.h"

namespace lockstep {
namespace {

ModelConfig Model() { return OddModel(700, 1701, 6); }

SramUse Use(const StageShape& stage) { return LayOut(*MakePlan(Model(), 3, 400), stage).use; }

TEST(LayoutTest, WeightsAreAtLeastTheBytesOfTheShard) {
  const ModelConfig m = Model();
  const int64_t layer = int64_t{m.hidden_size} * (2 * m.query_size() + 2 * m.kv_size()) +
                        3 * int64_t{m.hidden_size} * m.intermediate_size;
  const SramUse use = Use(WholeModel(m));
  EXPECT_GE(use.layers, 2 * m.layers * layer / 3);
  EXPECT_GE(use.embedding, 2 * int64_t{m.vocab_size} * m.hidden_size / 3);
  EXPECT_GE(use.head, 2 * int64_t{m.vocab_size} * m.hidden_size / 3);
  EXPECT_GE(use.kv_cache, int64_t{4} * m.layers * 400 * m.head_dim);
}

TEST(LayoutTest, Int8HalvesTheLayersAndLeavesTheRest) {
  // Sizes that fill tiles of both formats.
  ModelConfig m = Model();
  m.hidden_size = 3200, m.intermediate_size = 9600, m.heads = 30, m.kv_heads = 3, m.head_dim = 160;
  const StageShape stage = {{0, 1}, {0, 1001}, {0, 1001}};
  const SramUse half = LayOut(*MakePlan(m, 3, 400), stage).use;
  const SramUse int8 = LayOut(*MakePlan(m, 3, 400, 1, NumberFormat::kInt8), stage).use;
  EXPECT_GT(int8.layers,
            half.layers * 0.49);  // rows of a half tile take a quarter, scales are more
  EXPECT_LT(int8.layers, half.layers * 0.52);
  EXPECT_EQ(int8.embedding, half.embedding);
  EXPECT_EQ(int8.head, half.head);
  EXPECT_EQ(int8.kv_cache, half.kv_cache);
}

// A tile of 320 positions: of fp16 10 words of 32 slices for keys and, of heads of 48, two blocks
// of 3 for values; of int8 5 and 2, and a vector of scales each.
TEST(LayoutTest, AnInt8CacheTakesLessThanHalfOfTheBytes) {
  const auto use = [](NumberFormat kv_cache, NumberFormat weights) {
    return LayOut(*MakePlan(Model(), 3, 4000, 2, weights, kv_cache), WholeModel(Model())).use;
  };
  const int64_t heads = int64_t{6} * 2, tiles = 4000 / 320 + 1,
                word = 320;  // the last of half a tile
  const SramUse half = use(NumberFormat::kFp16, NumberFormat::kFp16);
  const SramUse int8 = use(NumberFormat::kInt8, NumberFormat::kFp16);
  EXPECT_EQ(half.kv_cache, heads * 32 * word * (10 * tiles + 3 * 25));
  EXPECT_EQ(int8.kv_cache, heads * word * (32 * (5 * tiles + 2 * tiles) + 2 * 4 * tiles));
  EXPECT_EQ(int8.layers, half.layers);
  EXPECT_EQ(use(NumberFormat::kInt8, NumberFormat::kInt8).kv_cache, int8.kv_cache);
}

TEST(LayoutTest, StagesShareTheLayersAndEachHasItsOwnTables) {
  const SramUse whole = Use(WholeModel(Model())), none = Use({});
  const SramUse first = Use({{0, 2}, {0, 1001}, {}});
  const SramUse last = Use({{2, 6}, {}, {0, 1001}});
  EXPECT_EQ(first.layers + last.layers, whole.layers);
  EXPECT_EQ(first.kv_cache * 2, last.kv_cache);
  EXPECT_EQ(first.embedding, whole.embedding);
  EXPECT_EQ(last.head, whole.head);
  EXPECT_EQ(last.embedding + first.head, 0);
  EXPECT_EQ(none.weights() + none.kv_cache, 0);
  EXPECT_EQ(none.tables, whole.tables);
}

TEST(LayoutTest, RowsOfTheVocabularyMayBeAPart) {
  const SramUse all = Use({{}, {0, 1001}, {0, 1001}}), part = Use({{}, {300, 501}, {7, 208}});
  EXPECT_LT(part.embedding, all.embedding / 4);
  EXPECT_LT(part.head, all.head / 2);
  EXPECT_GT(part.head, 0);
}

TEST(LayoutTest, WhatDoesNotFitIsCountedAllTheSame) {
  ModelConfig m = Model();
  m.hidden_size = 8192, m.intermediate_size = 28672, m.layers = 80;
  const Layout layout = LayOut(*MakePlan(m, 3, 100), WholeModel(m));
  EXPECT_EQ(layout.fits.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(layout.use.layers, int64_t{80} * 3 * 8192 * 28672 * 2 / 3);
  EXPECT_GT(layout.excess_bytes(), layout.use.total() - kSramBytes - 1);
  EXPECT_NE(layout.fits.message().find("KV cache"), absl::string_view::npos) << layout.fits;
  m.intermediate_size = 14336;
  EXPECT_TRUE(LayOut(*MakePlan(m, 8, 100), {{3, 4}, {}, {}}).fits.ok());
}

// The last slot is one that it shares.
int BeforeSums(Matrix down) {
  --down.slots;
  return MatrixCuts::TilesBeforeSums(down);
}

// Two layers of Llama-2-70B in int8 on eight chips.
TEST(LayoutTest, WeightsThatStreamWhileSumsLandAreElsewhere) {
  ModelConfig m = Model();
  m.hidden_size = 8192, m.intermediate_size = 28672, m.heads = 64, m.kv_heads = 8, m.head_dim = 128;
  const Plan plan = *MakePlan(m, 8, 128, 1, NumberFormat::kInt8);
  const Layout layout = LayOut(plan, {{0, 2}, {}, {}});
  ASSERT_TRUE(layout.fits.ok()) << layout.fits;
  const auto in_landing_column = [&](const Matrix& m, int tile, int slot) {
    const WeightWords words = m.WordsOf(tile, slot);
    return std::any_of(words.begin(), words.end(), [&](const QuadWords& q) {
      return q.column == layout.scratch.landing.column;
    });
  };
  const int outer = MatrixCuts::OuterSlots(plan);
  ASSERT_EQ(outer, 8);
  for (const LayerMap& layer : layout.map.layers) {
    const Matrix& gate = layer.gate.parts.front().matrix;
    ASSERT_EQ(gate.side, layout.scratch.landing.side);
    for (int slot = 0; slot < gate.slots; ++slot) {
      EXPECT_EQ(in_landing_column(gate, 0, slot), slot >= outer && slot < gate.slots - outer)
          << slot;
    }
    const Matrix& down = layer.down.parts.front().matrix;
    const int before_sums = BeforeSums(down);
    ASSERT_EQ(before_sums, 7);
    for (int tile = before_sums; tile < down.tiles(); ++tile) {
      for (int slot = 0; slot < down.slots; ++slot)
        EXPECT_FALSE(in_landing_column(down, tile, slot));
    }
  }
}

// With a part of the vocabulary or a long cache, too, which fill all.
TEST(LayoutTest, FullStagesUseTheLandingColumnForWeightsThatStreamBeforeSums) {
  ModelConfig m = Model();
  m.hidden_size = 8192, m.intermediate_size = 28672, m.heads = 64, m.kv_heads = 8, m.head_dim = 128;
  m.vocab_size = 32000;
  const Plan plan = *MakePlan(m, 8, 128, 1, NumberFormat::kInt8);
  const Layout layout = LayOut(plan, {{0, 2}, {0, 5333}, {}});
  ASSERT_TRUE(layout.fits.ok()) << layout.fits;
  int before = 0, later = 0;  // columns of slots of down that lie there
  for (const LayerMap& layer : layout.map.layers) {
    const Matrix& down = layer.down.parts.front().matrix;
    ASSERT_EQ(down.side, layout.scratch.landing.side);
    for (int tile = 0; tile < down.tiles(); ++tile) {
      for (int slot = 0; slot < down.slots; ++slot) {
        for (const QuadWords& q : down.WordsOf(tile, slot)) {
          const bool there = q.column == layout.scratch.landing.column;
          (tile < BeforeSums(down) ? before : later) += there;
        }
      }
    }
  }
  EXPECT_GT(before, 0);
  EXPECT_EQ(later, 0);
}

}  // namespace
}  // namespace lockstep
