#pragma once
// What chip/numerics_fp16.cc needs that is the same for every SIMD target: how operands are laid
// out for its kernels, bounds on magnitudes, and the one rounding. Private to that file.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "chip/numerics.h"

namespace lockstep::fp16 {

inline constexpr int kGroup = 8;           // rows that share one bound
inline constexpr int kMaxActivations = 8;  // for which rows are widened once
inline constexpr int kAhead = 2 * kGroup;  // rows that are fetched ahead of those multiplied

alignas(64) inline constexpr uint8_t kZeros[kFp16Terms] = {};

// An activation as the kernels want it.
struct Activation {
  alignas(64) double value[kFp16Terms];
  const float* source;
  double sum_of_magnitudes;  // inf or NaN if any value is
};

struct Group {
  const uint8_t* lo[kGroup];
  const uint8_t* hi[kGroup];
  int count;
};

// Largest fp16 magnitude whose high byte (without sign) is the index; from 0x7C on inf or NaN.
inline constexpr auto kMagnitudeBound = [] {
  std::array<double, 128> bound{};
  for (int high = 0; high < 128; ++high) {
    const int exponent = high >> 2, mantissa = (high & 3) << 8 | 0xFF;
    double v = exponent == 0 ? mantissa : 1024 + mantissa;
    for (int i = 1; i < exponent; ++i) v *= 2;
    bound[high] = high < 0x7C ? v * 0x1p-24 : std::numeric_limits<double>::infinity();
  }
  return bound;
}();

inline float CanonicalNan() { return std::bit_cast<float>(0x7FC00000u); }

// high + low, exact and |low| <= ulp(high) / 2, rounded once to fp32.
inline float RoundOnce(double high, double low) {
  auto bits = std::bit_cast<uint64_t>(high);
  if (low != 0 && (bits & 1) == 0) {  // round to odd: the next rounding then sees `low` as sticky
    bits += (low > 0) == (high > 0) ? 1 : uint64_t(-1);
  }
  return static_cast<float>(std::bit_cast<double>(bits));
}

inline Activation MakeActivation(const float* source) {
  Activation a;
  a.source = source;
  double sums[8] = {};
  for (int k = 0; k < kFp16Terms; k += 8) {
    for (int i = 0; i < 8; ++i) {
      a.value[k + i] = source[k + i];
      sums[i] += std::abs(a.value[k + i]);
    }
  }
  a.sum_of_magnitudes =
      ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  return a;
}

// Without the sign. Needed when the OR of the bytes says little.
inline int LargestHighByte(const Group& g) {
  int most = 0;
  for (int r = 0; r < g.count; ++r) {
    for (int k = 0; k < kFp16Terms; ++k) most = std::max(most, g.hi[r][k] & 0x7F);
  }
  return most;
}

// Whether rows [0, count) are all absent: with finite activations their results are zero.
inline bool AllAbsent(const Fp16Row* rows, int count) {
  for (int i = 0; i < count; ++i) {
    if (rows[i].lo != nullptr) return false;
  }
  return true;
}

inline Group MakeGroup(const Fp16Row* rows, int count) {
  Group g;
  g.count = count;
  for (int i = 0; i < kGroup; ++i) {
    const bool zero = i >= count || rows[i].lo == nullptr;
    g.lo[i] = zero ? kZeros : rows[i].lo;
    g.hi[i] = zero ? kZeros : rows[i].hi;
  }
  return g;
}

}  // namespace lockstep::fp16
