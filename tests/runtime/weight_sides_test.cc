// Which tiles go to which side: halves where there is room, else as few moves as bring both below
// it.
#include "runtime/compiler/weight_sides.h"

#include <algorithm>
#include <numeric>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

constexpr int64_t kRoom = 64'000;  // the limit is 1/64 less: 63,000

// Words on either side.
std::array<int64_t, 2> Used(const std::vector<CutMatrix>& m, const SideRoom& room) {
  const std::vector<int> west = ChooseSides(m, room);
  std::array<int64_t, 2> used = room.taken;
  for (size_t i = 0; i < m.size(); ++i) {
    EXPECT_GE(west[i], 0);
    EXPECT_LE(west[i], m[i].tiles);
    EXPECT_EQ(west[i] % m[i].unit, 0);
    used[0] += west[i] * m[i].tile_words, used[1] += (m[i].tiles - west[i]) * m[i].tile_words;
  }
  return used;
}

TEST(WeightSidesTest, HalvesWhereThereIsRoom) {
  const std::vector<CutMatrix> m = {{26, 1, 800, true}, {4, 2, 1600}, {3, 1, 100}};
  EXPECT_EQ(ChooseSides(m, {{100, 30'000}, kRoom}), (std::vector<int>{13, 2, 1}));
}

TEST(WeightSidesTest, MovesWhatDoesNotFit) {
  // 20,800 words more on a side of 50,000: 7,800 too many.
  const std::vector<CutMatrix> m = {{26, 1, 1600, true}, {8, 1, 130}};
  for (int full : {0, 1}) {
    SideRoom room{{20'000, 20'000}, kRoom};
    room.taken[full] = 50'000;
    const std::array<int64_t, 2> used = Used(m, room);
    EXPECT_LE(std::max(used[0], used[1]), 63'000);
    EXPECT_GE(std::max(used[0], used[1]), 63'000 - 1600) << "no more than that";
  }
}

TEST(WeightSidesTest, TwoMatricesCloseAGapThatOneCannot) {
  // 320 words more in the west than in the east, and all is full: 300 go and 140 come.
  const std::vector<CutMatrix> m = {{10, 1, 300, true}, {10, 1, 140}};
  const std::array<int64_t, 2> used = Used(m, {{61'960, 61'640}, kRoom});
  EXPECT_EQ(used[0], used[1]);
}

TEST(WeightSidesTest, WhatTheLandingColumnCannotTakeIsNoRoom) {
  // Without the matrix that may lie there, 5,000 words of the west are lost.
  const std::vector<CutMatrix> m = {{100, 1, 800, true}};
  const std::array<int64_t, 2> used = Used(m, {{20'000, 20'000}, kRoom, 5000, 0});
  EXPECT_LE(used[0] + 5000, 63'000);
  EXPECT_LE(used[1], 63'000);
}

}  // namespace
}  // namespace lockstep
