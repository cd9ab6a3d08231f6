// Argument reduction with constants split so that the first product is exact, then a Taylor
// series long enough that its remainder is below the rounding of the sum.

#include "runtime/files/portable_math.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "chip/check.h"

namespace lockstep {
namespace {

// ln 2 in two parts; the first has 32 significant bits, so k * kLn2High is exact for |k| < 2^21.
constexpr double kLn2High = 6.93147180369123816490e-01;
constexpr double kLn2Low = 1.90821492927058770002e-10;
constexpr double kInverseLn2 = 1.44269504088896338700e+00;
// pi / 2 in three parts of 33 bits and more.
constexpr double kHalfPi1 = 1.57079632673412561417e+00;
constexpr double kHalfPi2 = 6.07710050630396597660e-11;
constexpr double kHalfPi3 = 2.02226624879595063154e-21;
constexpr double kTwoOverPi = 6.36619772367581382433e-01;

constexpr std::array<double, 15> kInverseFactorials = [] {
  std::array<double, 15> table{};
  double factorial = 1.0;  // exact up to 18!
  for (int n = 0; n < 15; factorial *= ++n) table[n] = 1.0 / factorial;
  return table;
}();

// 2^k for a normal result: -1022 <= k <= 1023.
double PowerOfTwo(int k) { return std::bit_cast<double>(static_cast<uint64_t>(k + 1023) << 52); }

// std::floor is exact by definition, hence the same everywhere.
double RoundToInteger(double x) { return std::floor(x + 0.5); }

}  // namespace

double Exp(double x) {
  if (x != x) return x;
  if (x > 709.9) return std::numeric_limits<double>::infinity();
  if (x < -746.0) return 0.0;
  const double k = RoundToInteger(x * kInverseLn2);
  // exp(x) = 2^k exp(r), |r| <= 0.347; `low` is what r lost by rounding.
  const double high = x - k * kLn2High;
  const double r = high - k * kLn2Low;
  const double low = (high - r) - k * kLn2Low;
  double tail = 0.0;  // (exp(r) - 1 - r) / r^2 = 1/2! + r/3! + ... + r^12/14!
  for (int n = 14; n >= 2; --n) tail = tail * r + kInverseFactorials[n];
  const double value = 1.0 + (r + (r * r * tail + low));
  // Two factors, because 2^k alone may leave the normal range.
  const int first = static_cast<int>(k) / 2;
  return value * PowerOfTwo(first) * PowerOfTwo(static_cast<int>(k) - first);
}

double Log(double x) {
  if (x != x || x < 0) return std::numeric_limits<double>::quiet_NaN();
  if (x == 0) return -std::numeric_limits<double>::infinity();
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000f'ffff'ffff'ffffull) | 0x3ff0'0000'0000'0000ull);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  // With f = m - 1 (exact) and s = f / (2 + f): log m = 2 atanh(s) = f - s (f - R), where
  // R = 2 s^2 / 3 + 2 s^4 / 5 + ... ; the form keeps f, the large part, unrounded.
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double series = 0.0;
  for (int n = 12; n >= 1; --n) series = (series + 2.0 / (2 * n + 1)) * z;
  const double k = exponent;
  return k * kLn2High + (f - (s * (f - series) - k * kLn2Low));
}

double Pow(double base, double exponent) { return Exp(exponent * Log(base)); }

SinCos SinAndCos(double x) {
  LOCKSTEP_CHECK(x >= -kMaxAngle && x <= kMaxAngle, "angle %g", x);
  const double k = RoundToInteger(x * kTwoOverPi);
  // x = k pi/2 + r + low, |r| <= 0.786.
  const double first = x - k * kHalfPi1;
  const double step = k * kHalfPi2;
  const double second = first - step;
  const double lost = (first - second) - step;
  const double last = lost - k * kHalfPi3;
  const double r = second + last;
  const double low = (second - r) + last;
  const double z = r * r;
  double sine = 0.0;    // sin r = r + r * sine
  double cosine = 0.0;  // cos r = 1 + cosine
  for (int n = 9; n >= 1; --n) {
    sine = (sine + 1.0) * (-z / ((2 * n) * (2 * n + 1)));
    cosine = (cosine + 1.0) * (-z / ((2 * n - 1) * (2 * n)));
  }
  const double s = r + (r * sine + low * (1.0 + cosine));
  const double c = 1.0 + (cosine - low * r);
  switch (static_cast<int64_t>(k) & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

}  // namespace lockstep
