// Quantisation of weight rows: what is written in the header, at its edges.
#include "runtime/compiler/int8_weights.h"

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

std::vector<int> Quantised(const std::vector<float>& row, float* scale = nullptr) {
  std::vector<int8_t> out(row.size());
  const float got = QuantiseRow(row, out);
  if (scale != nullptr) *scale = got;
  return {out.begin(), out.end()};
}

TEST(QuantiseRowTest, TheLargestWeightIs127OfEitherSign) {
  float scale = 0;
  EXPECT_EQ(Quantised({0.5f, -2.0f, 1.0f}, &scale), (std::vector<int>{32, -127, 64}));
  EXPECT_EQ(scale, 2.0f / 127);
  EXPECT_EQ(Quantised({3e38f}), std::vector<int>{127});
}

TEST(QuantiseRowTest, TiesGoToTheEvenInteger) {
  // With 254 as the largest, w * 127 / 254 is w / 2.
  EXPECT_EQ(Quantised({254, 1, 3, 5, -1, -3, -5}), (std::vector<int>{127, 0, 2, 2, 0, -2, -2}));
}

TEST(QuantiseRowTest, ZerosHaveScaleZeroAndTheSmallestWeightDoesNot) {
  float scale = 1;
  EXPECT_EQ(Quantised({0, -0.0f}, &scale), (std::vector<int>{0, 0}));
  EXPECT_EQ(scale, 0);
  const float least = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(Quantised({least, -least, 0}), (std::vector<int>{127, -127, 0}));
}

TEST(QuantiseRowTest, IsOffByHalfAScaleAtMost) {
  std::mt19937 random(3);
  for (float size : {1e-30f, 0.02f, 1e30f}) {
    std::vector<float> row(1001);
    for (float& w : row) w = size * static_cast<float>(random() * 0x1p-31 - 1);
    float scale = 0;
    const std::vector<int> q = Quantised(row, &scale);
    for (size_t i = 0; i < row.size(); ++i) {
      ASSERT_LE(std::abs(q[i]), 127);
      ASSERT_LE(std::abs(q[i] * double{scale} - row[i]), scale * (0.5 + 127 * 0x1p-24)) << row[i];
    }
  }
}

}  // namespace
}  // namespace lockstep
