// The half-precision conversions against what IEEE 754 says, computed another way: a half is an
// integer times a power of two, so double precision holds every value and midpoint exactly.

#include "chip/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace lockstep {
namespace {

// The value of a finite half from its definition.
double HalfValue(uint16_t h) {
  const int exponent = (h >> 10) & 0x1f;
  const int fraction = h & 0x3ff;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24)
                                         : std::ldexp(1024 + fraction, exponent - 25);
  return (h & 0x8000) ? -magnitude : magnitude;
}

uint32_t Bits(float f) { return std::bit_cast<uint32_t>(f); }
float FromBits(uint32_t b) { return std::bit_cast<float>(b); }

// Nearest half by searching its neighbours: slow and obvious.
uint16_t NearestHalf(float f) {
  const uint16_t sign = std::signbit(f) ? 0x8000 : 0;
  const double x = std::fabs(static_cast<double>(f));
  if (x >= 65520.0) return sign | kHalfInfinity;
  uint16_t low = 0, high = kHalfMax;  // the largest half <= x
  while (low < high) {
    const uint16_t mid = static_cast<uint16_t>((low + high + 1) / 2);
    if (HalfValue(mid) <= x) low = mid; else high = mid - 1;
  }
  if (low == kHalfMax) return sign | low;
  const double below = x - HalfValue(low), above = HalfValue(low + 1) - x;
  if (above < below || (above == below && (low & 1))) ++low;
  return sign | low;
}

TEST(HalfTest, EveryFiniteHalfHasTheValueOfItsDefinition) {
  for (uint32_t h = 0; h <= 0xffff; ++h) {
    if (!IsHalfFinite(h)) continue;
    const float f = HalfToFloat(h);
    ASSERT_EQ(static_cast<double>(f), HalfValue(h)) << h;
    ASSERT_EQ(std::signbit(f), (h & 0x8000) != 0) << h;
  }
}

TEST(HalfTest, EveryHalfSurvivesTheWayToFloatAndBack) {
  for (uint32_t h = 0; h <= 0xffff; ++h) {
    const uint16_t want = IsHalfNan(h) ? h | 0x0200 : h;  // a signalling NaN becomes quiet
    ASSERT_EQ(FloatToHalf(HalfToFloat(h)), want) << h;
  }
}

TEST(HalfTest, MidpointsGoToTheEvenNeighbourAndAnUlpDecides) {
  for (uint16_t h = 0; h < kHalfMax; ++h) {
    const float mid = static_cast<float>((HalfValue(h) + HalfValue(h + 1)) / 2);
    const uint16_t even = (h & 1) ? h + 1 : h;
    ASSERT_EQ(FloatToHalf(mid), even) << h;
    ASSERT_EQ(FloatToHalf(-mid), even | 0x8000) << h;
    ASSERT_EQ(FloatToHalf(FromBits(Bits(mid) - 1)), h) << h;
    ASSERT_EQ(FloatToHalf(FromBits(Bits(mid) + 1)), h + 1) << h;
  }
}

TEST(HalfTest, FloatsOfEveryExponentRoundAsTheSearchDoes) {
  uint32_t state = 12345;
  for (int i = 0; i < 2'000'000; ++i) {
    state = state * 1664525u + 1013904223u;
    const float f = FromBits(state ^ (state >> 15));
    if (std::isnan(f)) continue;
    ASSERT_EQ(FloatToHalf(f), NearestHalf(f)) << Bits(f);
  }
}

TEST(HalfTest, InfinitiesStayAndNansStayNans) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(FloatToHalf(inf), 0x7c00);
  EXPECT_EQ(FloatToHalf(-inf), 0xfc00);
  EXPECT_EQ(HalfToFloat(0xfc00), -inf);
  EXPECT_EQ(FloatToHalf(FromBits(0x7f80'0001u)), 0x7e00);  // payload below the half's bits
  EXPECT_EQ(FloatToHalf(FromBits(0xffff'ffffu)), 0xffff);
  EXPECT_EQ(Bits(HalfToFloat(0x7c01)), 0x7fc0'2000u);
}

TEST(HalfTest, OnlyAFiniteFloatOverflows) {
  EXPECT_FALSE(OverflowsHalf(FromBits(Bits(65520.0f) - 1)));
  EXPECT_TRUE(OverflowsHalf(65520.0f));
  EXPECT_TRUE(OverflowsHalf(-3.0e38f));
  EXPECT_FALSE(OverflowsHalf(std::numeric_limits<float>::infinity()));
  EXPECT_FALSE(OverflowsHalf(std::numeric_limits<float>::quiet_NaN()));
}

TEST(HalfTest, SubnormalFloatsBecomeSignedZeros) {
  EXPECT_EQ(FloatToHalf(FromBits(0x0000'0001u)), 0x0000);
  EXPECT_EQ(FloatToHalf(FromBits(0x807f'ffffu)), 0x8000);
}

TEST(HalfTest, EveryBFloat16IsTheUpperHalfOfAFloat) {
  for (uint32_t b = 0; b <= 0xffff; ++b) {
    ASSERT_EQ(Bits(BFloat16ToFloat(b)), b << 16);
  }
}

}  // namespace
}  // namespace lockstep
