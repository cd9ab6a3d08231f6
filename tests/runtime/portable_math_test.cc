// The portable functions against the host's long double ones (64 bits of fraction on x86), and
// a few bit patterns that every host must reproduce (e itself comes out one unit high).

#include "runtime/files/portable_math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace lockstep {
namespace {

// Difference in units in the last place of the true value.
double Ulps(double got, long double want) {
  const double near = static_cast<double>(want);
  const double unit = std::nextafter(std::fabs(near), INFINITY) - std::fabs(near);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want) / unit);
}

double Uniform(std::mt19937_64& random, double low, double high) {
  return low + (high - low) * (static_cast<double>(random() >> 11) * 0x1p-53);
}

TEST(PortableMathTest, ExpIsWithinTwoUlps) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300'000; ++i) {
    const double x = i % 2 ? Uniform(random, -700, 700) : Uniform(random, -2, 2);
    ASSERT_LT(Ulps(Exp(x), std::exp(static_cast<long double>(x))), 2.0) << x;
  }
}

TEST(PortableMathTest, LogIsWithinTwoUlps) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 300'000; ++i) {
    const int exponent = i % 2 ? static_cast<int>(random() % 2000) - 1000 : 0;
    const double x = std::ldexp(Uniform(random, 0.5, 2), exponent);
    ASSERT_LT(Ulps(Log(x), std::log(static_cast<long double>(x))), 2.0) << x;
  }
}

TEST(PortableMathTest, SineAndCosineHoldOverTheWholeRangeOfPositions) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 300'000; ++i) {
    const double limit = i % 3 == 0 ? kMaxAngle : i % 3 == 1 ? 5000.0 : 1.0;
    const double x = Uniform(random, -limit, limit);
    const SinCos got = SinAndCos(x);
    ASSERT_LT(std::fabs(got.sin - std::sin(static_cast<long double>(x))), 2.3e-16L) << x;
    ASSERT_LT(std::fabs(got.cos - std::cos(static_cast<long double>(x))), 2.3e-16L) << x;
  }
}

TEST(PortableMathTest, TheEndsOfTheRangeAreWhatTheHeaderSays) {
  EXPECT_EQ(Exp(0.0), 1.0);
  EXPECT_EQ(Exp(-746.0), 0.0);
  EXPECT_EQ(Exp(-INFINITY), 0.0);
  EXPECT_EQ(Exp(710.0), INFINITY);
  EXPECT_TRUE(std::isnan(Exp(NAN)));
  EXPECT_GT(Exp(-745.0), 0.0);
  EXPECT_EQ(Log(1.0), 0.0);
  EXPECT_EQ(Log(0.0), -INFINITY);
  EXPECT_TRUE(std::isnan(Log(-1.0)));
  EXPECT_EQ(SinAndCos(0.0).sin, 0.0);
  EXPECT_EQ(SinAndCos(0.0).cos, 1.0);
}

TEST(PortableMathTest, PowFollowsTheProductOfItsLogarithm) {
  EXPECT_NEAR(Pow(10000.0, -0.5), 0.01, 1e-17);
  EXPECT_NEAR(Pow(2.0, 10.0), 1024.0, 1e-11);
  EXPECT_EQ(Pow(500000.0, 0.0), 1.0);
}

TEST(PortableMathTest, TheBitsAreTheSameOnEveryHost) {
  EXPECT_EQ(std::bit_cast<uint64_t>(Exp(1.0)), 0x4005bf0a8b14576aull);
  EXPECT_EQ(std::bit_cast<uint64_t>(Log(2.0)), 0x3fe62e42fefa39efull);
}

}  // namespace
}  // namespace lockstep
