// Keys beside values, and heads end to end, bit for bit.
#include <gtest/gtest.h>

#include <bit>

#include "runtime/kernels/kernels.h"
#include "tests/runtime/one_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

TEST(SplitKeyValueTest, TheKeyIsInBothHalvesAndTheValueRoundedInTheLower) {
  for (Hemisphere side : {kWest, kEast}) {
    OneChip chip;
    const std::vector<float> x = RandomFloats(chip.random, kLanes, -3, 3);
    std::vector<float> low(kLanes), key(kLanes), value(kLanes);
    std::fill_n(low.begin(), kHalfLanes, std::bit_cast<float>(0xffffffffu));
    for (int i = 0; i < kLanes; ++i) key[i] = x[i % kHalfLanes];
    std::copy(x.begin() + kHalfLanes, x.end(), value.begin());
    chip.Store(Quad{side, 2, 7}, x);
    chip.Store(Quad{kWest, 1, 0}, low);
    chip.kernels.SplitKeyValue({side, 2, 7}, {kWest, 1, 0}, {kEast, 1, 3}, {kEast, 1, 2, 9});
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    EXPECT_EQ(chip.Load({kEast, 1, 3}, 1), key);
    EXPECT_EQ(chip.Load16({kEast, 1, 2, 9}, 1), Rounded16(value));
  }
}

TEST(PackHeadsTest, HeadsLieEndToEndOnBothSides) {
  for (const auto& [heads, elements] : {std::pair{8, 128}, {1, 128}, {5, 64}, {9, 20}, {33, 7}}) {
    OneChip chip;
    const int words = CeilDiv(heads * elements, kLanes);
    std::vector<float> x(heads * kLanes), want(words * kLanes);
    const std::vector<float> random = RandomFloats(chip.random, heads * elements, -3, 3);
    for (int h = 0; h < heads; ++h) {
      std::copy_n(random.begin() + h * elements, elements, x.begin() + h * kLanes);
    }
    std::copy(random.begin(), random.end(), want.begin());
    const Pair from[2] = {{kWest, 0, 0, 1}, {kEast, 0, 0, 1}};
    std::vector<uint16_t> bits;
    for (float v : x) bits.push_back(FloatToHalf(v));
    for (const Pair& at : from) chip.Store(at, bits);
    chip.kernels.PackHeads(from, heads, elements, {kWest, 1, 0, 2}, {kEast, 1, 0, 2}, {});
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    EXPECT_EQ(chip.Load16({kWest, 1, 0, 2}, words), Rounded16(want)) << heads;
    EXPECT_EQ(chip.Load16({kEast, 1, 0, 2}, words), Rounded16(want)) << heads;
  }
}

// Elements 960..1023 of eight heads of 128 in lanes 96.. of the last vector, and nothing beside
// them.
TEST(PackHeadsTest, TheLastVectorMayBeginFurtherUp) {
  OneChip chip;
  const int heads = 8, elements = 128, words = 4, lane = 96;
  const std::vector<float> random = RandomFloats(chip.random, heads * elements, -3, 3);
  std::vector<float> want(words * kLanes);
  std::copy_n(random.begin(), 960, want.begin());
  std::copy_n(random.begin() + 960, 64, want.begin() + 960 + lane);
  std::vector<uint16_t> bits(heads * kLanes), mask(kLanes);
  for (int i = 0; i < heads * elements; ++i) {
    bits[i / elements * kLanes + i % elements] = FloatToHalf(random[i]);
  }
  std::fill_n(mask.begin() + lane, 64, uint16_t{0xffff});
  const Pair from[2] = {{kWest, 0, 0, 1}, {kEast, 0, 0, 1}}, at{kEast, 2, 0, 7};
  for (const Pair& side : from) chip.Store(side, bits);
  chip.Store(at, mask);
  chip.kernels.PackHeads(from, heads, elements, {kWest, 1, 0, 2}, {kEast, 1, 0, 2}, {lane, at});
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load16({kWest, 1, 0, 2}, words), Rounded16(want));
  EXPECT_EQ(chip.Load16({kEast, 1, 0, 2}, words), Rounded16(want));
}

}  // namespace
}  // namespace lockstep
