// Quantising, scaling and packing for int8 products: integers exactly, scales against double precision,
// at shapes that fill nothing evenly.
#include "runtime/kernels/int8_kernels.h"

#include <cmath>

#include "tests/runtime/int8_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

// ---- Quantisation.

class QuantiseTest : public ::testing::TestWithParam<std::tuple<int, Hemisphere>> {
 protected:
  const int words = std::get<0>(GetParam());
  const Pair x{std::get<1>(GetParam()), 1, 0, 40};
  const Quad scratch{kEast, 2, 7}, scale[2] = {{kWest, 0, 3}, {kEast, 0, 90}};
  const Single west{kWest, 1, 3, 2}, east{kEast, 1, 3, 6};
  Int8Chip chip;

  // Every q is the nearest integer to x * 127 / max, but within 1e-5 of a tie.
  void Expect(const std::vector<float>& values) {
    chip.Store(x, Halves(values));
    chip.int8.Quantise(x, words, scratch, {west, east}, {scale[0], scale[1]});
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    double largest = 0;
    for (float v : values) largest = std::max(largest, std::abs(double{v}));
    for (Quad at : scale) {
      for (float s : chip.Load(at, 1)) ASSERT_EQ(s, static_cast<float>(largest) * (1.0f / 127));
    }
    const std::vector<int> q = chip.LoadBytes(west, words);
    EXPECT_EQ(q, chip.LoadBytes(east, words));
    for (size_t i = 0; i < q.size(); ++i) {
      const double exact = largest == 0 ? 0 : values[i] * 127.0 / largest;
      ASSERT_LE(std::abs(q[i] - exact), 0.5 + 1e-5) << "element " << i << " of " << values[i];
      ASSERT_LE(std::abs(q[i]), 127) << "element " << i;
    }
  }
  std::vector<float> Random(double size) {
    return Rounded16(RandomFloats(chip.random, static_cast<size_t>(words) * kLanes, -size, size));
  }
};

TEST_P(QuantiseTest, RoundsToTheNearestOfTheWholeVectorsScale) { Expect(Random(3)); }

TEST_P(QuantiseTest, TheLargestElementIsFoundWhereverItStands) {
  for (int place : {0, 159, words * kLanes - 1}) {
    for (float largest : {-60000.0f, 0.25f}) {
      std::vector<float> values = Random(0.2);
      values[place] = HalfToFloat(FloatToHalf(largest));
      ASSERT_NO_FATAL_FAILURE(Expect(values));
      EXPECT_EQ(chip.LoadBytes(west, words)[place], largest < 0 ? -127 : 127);
    }
  }
}

TEST_P(QuantiseTest, ZerosStayZeros) {
  ASSERT_NO_FATAL_FAILURE(Expect(std::vector<float>(static_cast<size_t>(words) * kLanes)));
}

TEST_P(QuantiseTest, TheSmallestHalfIsQuantisedToo) {
  std::vector<float> values(static_cast<size_t>(words) * kLanes);
  values[7] = 0x1p-24f, values[words * kLanes - 2] = -0x1p-24f;
  ASSERT_NO_FATAL_FAILURE(Expect(values));
  EXPECT_EQ(chip.LoadBytes(east, words)[7], 127);
}

INSTANTIATE_TEST_SUITE_P(Words, QuantiseTest,
                         ::testing::Combine(::testing::Values(1, 2, 5, 26, 90),
                                            ::testing::Values(kWest, kEast)));

// ---- Scaling and packing.

class DequantiseTest : public ::testing::TestWithParam<std::tuple<int, Hemisphere>> {};

TEST_P(DequantiseTest, AddsTheScaledSumAndScalesTheWhole) {
  const auto [form, side] = GetParam();
  const bool add = (form & 1) != 0, rows = (form & 2) != 0, by = (form & 4) != 0;
  const Hemisphere other = Other(side);
  Int8Chip chip;
  const Quad y{side, 2, 3};
  Int8Kernels::Sums sums{{side, 0, 5}, {side, 1, 9}, {{other, 1, 90}, add}};
  if (rows) sums.scaling.row_scale = Quad{other, 0, 70};
  if (by) sums.scaling.by = Quad{kEast, 1, 4000};
  std::vector<int32_t> a(kLanes), b(kLanes);
  for (int32_t& v : a) v = static_cast<int32_t>(chip.random()) / 2;
  for (int32_t& v : b) v = static_cast<int32_t>(chip.random()) / 2;
  const std::vector<float> row_scale = RandomFloats(chip.random, kLanes, 1e-4, 0.1);
  const std::vector<float> before = RandomFloats(chip.random, kLanes, -1e7, 1e7);
  chip.StoreIntegers(sums.even, a);
  chip.StoreIntegers(sums.odd, b);
  chip.Store(y, before);
  chip.Store({other, 0, 70}, row_scale);
  chip.Fill({kEast, 1, 4000}, 1, 0.3f);
  chip.Fill(sums.scaling.scale, 1, 0.0123f);
  chip.int8.Dequantise(sums, y);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  const std::vector<float> got = chip.Load(y, 1);
  for (int i = 0; i < kLanes; ++i) {
    float want = static_cast<float>(a[i] + b[i]) * 0.0123f;
    if (add) want = before[i] + want;
    if (rows) want *= row_scale[i];
    if (by) want *= 0.3f;
    ASSERT_EQ(got[i], want) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, DequantiseTest,
                         ::testing::Combine(::testing::Range(0, 8),
                                            ::testing::Values(kWest, kEast)));

// Of a batch each position has the bits that it has alone.
class Int8BatchTest : public ::testing::TestWithParam<std::tuple<int, Hemisphere>> {};

TEST_P(Int8BatchTest, QuantisesEachPositionAsIfAlone) {
  const auto [positions, side] = GetParam();
  for (int words : {1, 2, 9}) {
    Int8Chip chip;
    const Pair x{side, 1, 0, 40};
    const Quad scratch{kEast, 2, 7}, scale[2] = {{kWest, 0, 3}, {kEast, 0, 90}};
    const Single q[2] = {{kWest, 1, 3, 2}, {kEast, 1, 3, 6}}, alone[2] = {q[0] + 500, q[1] + 500};
    const int apart = words + 1;
    chip.Store(x, Halves(RandomFloats(chip.random, size_t{1} * positions * apart * kLanes)));
    chip.int8.Quantise(x, words, scratch, {q[0], q[1]}, {scale[0], scale[1]}, {positions, apart, 3});
    for (int i = 0; i < positions; ++i) {
      chip.int8.Quantise(x + i * apart, words, scratch + 100,
                         {alone[0] + i * apart, alone[1] + i * apart},
                         {scale[0] + (500 + 3 * i), scale[1] + (500 + 3 * i)});
    }
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    for (int s : {0, 1}) {
      EXPECT_EQ(chip.LoadBytes(q[s], positions * apart), chip.LoadBytes(alone[s], positions * apart));
      EXPECT_EQ(chip.Load(scale[s], 3 * positions), chip.Load(scale[s] + 500, 3 * positions));
    }
  }
}

TEST_P(Int8BatchTest, ScalesSumsOfEachPositionAsIfAlone) {
  const auto [positions, side] = GetParam();
  const Hemisphere other = Other(side);
  for (int form = 0; form < 8; ++form) {
    for (int column : {1, 2}) {  // of the result
      Int8Chip chip;
      const Quad y{side, column, 3}, scale{other, 1, 90}, by{other, 2, 900};
      Int8Kernels::Sums sums{{side, 0, 5}, {side, 3 - column, 9}, {scale, (form & 1) != 0}};
      if ((form & 2) != 0) sums.scaling.row_scale = Quad{other, 0, 70};
      if ((form & 4) != 0) sums.scaling.by = by;
      const int apart = 4, words = positions * apart;
      for (Quad at : {sums.even, sums.odd, scale, by, Quad{other, 0, 70}}) {
        chip.Store(at, RandomFloats(chip.random, size_t{1} * words * kLanes, -9, 9));
      }
      std::vector<int32_t> integers(size_t{1} * words * kLanes);
      for (int32_t& v : integers) v = static_cast<int32_t>(chip.random()) / 2;
      chip.StoreIntegers(sums.even, integers);
      chip.StoreIntegers(sums.odd, integers);
      const std::vector<float> before = RandomFloats(chip.random, integers.size(), -1e7, 1e7);
      chip.Store(y, before);
      chip.Store(y + 500, before);
      Int8Kernels::Sums batch = sums;
      batch.batch = {positions, apart, 2};
      chip.int8.Dequantise(batch, y);
      for (int i = 0; i < positions; ++i) {
        Int8Kernels::Sums one = sums;
        one.even = sums.even + i, one.odd = sums.odd + i, one.scaling.scale = scale + 2 * i;
        if (one.scaling.by) one.scaling.by = by + i;
        chip.int8.Dequantise(one, y + (500 + i * apart));
      }
      ASSERT_NO_FATAL_FAILURE(chip.Run());
      const std::vector<float> got = chip.Load(y, words);
      EXPECT_EQ(got, chip.Load(y + 500, words)) << "form " << form;
      EXPECT_NE(got, before);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Positions, Int8BatchTest,
                         ::testing::Combine(::testing::Values(2, 8, 16),
                                            ::testing::Values(kWest, kEast)));

class PackHalvesTest : public ::testing::TestWithParam<std::tuple<int, Hemisphere>> {};

TEST_P(PackHalvesTest, PutsTwoVectorsIntoOne) {
  const auto [halves, side] = GetParam();
  Int8Chip chip;
  const Pair x{side, 1, 2, 8}, y{side, 0, 0, 5};
  std::vector<float> values(static_cast<size_t>(halves) * kLanes);
  std::vector<float> want(static_cast<size_t>(CeilDiv(halves, 2)) * kLanes);
  for (int h = 0; h < halves; ++h) {
    for (int i = 0; i < kHalfLanes; ++i) {
      values[h * kLanes + i] = want[h * kHalfLanes + i] = static_cast<float>(h * 7 + i + 1);
    }
  }
  chip.Store(x, Halves(values));
  chip.int8.PackHalves(x, halves, y);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load16(y, CeilDiv(halves, 2)), want);
}

INSTANTIATE_TEST_SUITE_P(Halves, PackHalvesTest,
                         ::testing::Combine(::testing::Values(1, 2, 3, 8, 24, 27, 64),
                                            ::testing::Values(kWest, kEast)));

}  // namespace
}  // namespace lockstep
