#pragma once
// Scalar conversions between the float formats of a checkpoint and of the chip: our own integer
// arithmetic, so the same bits on every host (no F16C, no libm, no rounding mode).
//
//   fp16   1 sign | 5 exponent (bias 15)  | 10 fraction     largest 65504, smallest 2^-24
//   bf16   1 sign | 8 exponent (bias 127) |  7 fraction     the upper half of an fp32
//   fp32   1 sign | 8 exponent (bias 127) | 23 fraction
//
// Halves are carried as their bits in a uint16_t. Everything is constexpr.

#include <bit>
#include <cstdint>

namespace lockstep {

inline constexpr uint16_t kHalfInfinity = 0x7c00;
inline constexpr uint16_t kHalfMax = 0x7bff;  // 65504
// The smallest magnitude that FloatToHalf rounds to infinity: halfway from 65504 to 65536; the
// tie goes to even, which is the infinity.
inline constexpr float kHalfOverflow = 65520.0f;

constexpr bool IsHalfNan(uint16_t h) { return (h & 0x7fff) > kHalfInfinity; }
constexpr bool IsHalfFinite(uint16_t h) { return (h & 0x7c00) != 0x7c00; }

// Exact: every half is a float. A NaN keeps its sign and payload and becomes quiet.
constexpr float HalfToFloat(uint16_t h) {
  const uint32_t sign = uint32_t{h & 0x8000u} << 16;
  const uint32_t exponent = (h >> 10) & 0x1fu;
  const uint32_t fraction = h & 0x3ffu;
  if (exponent == 0x1f) {
    const uint32_t quiet = fraction != 0 ? 0x0040'0000u : 0u;
    return std::bit_cast<float>(sign | 0x7f80'0000u | quiet | (fraction << 13));
  }
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  }
  if (fraction == 0) return std::bit_cast<float>(sign);
  // Subnormal, fraction * 2^-24: its leading one becomes the implicit one of a normal float.
  const int lead = std::bit_width(fraction) - 1;  // 0..9
  const uint32_t rest = (fraction << (23 - lead)) & 0x007f'ffffu;
  return std::bit_cast<float>(sign | (static_cast<uint32_t>(lead + 103) << 23) | rest);
}

// Rounds to nearest, ties to even, into subnormals and to infinity as IEEE 754 says. A NaN keeps
// its sign and the upper bits of its payload and becomes quiet.
constexpr uint16_t FloatToHalf(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fff'ffffu;
  if (magnitude > 0x7f80'0000u) {
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  if (magnitude >= std::bit_cast<uint32_t>(kHalfOverflow)) return sign | kHalfInfinity;
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent < -25) return sign;  // below half of 2^-24: zero (fp32 subnormals too)
  uint32_t value;                   // the half's bits before rounding
  uint32_t dropped;                 // how many low bits of `significand` do not fit
  const uint32_t significand = (magnitude & 0x007f'ffffu) | 0x0080'0000u;
  if (exponent >= -14) {
    dropped = 13;
    // The implicit one adds the last 1 to the exponent field.
    value = (static_cast<uint32_t>(exponent + 14) << 10) + (significand >> dropped);
  } else {
    dropped = static_cast<uint32_t>(-exponent - 1);  // 14..24: unit is 2^-24
    value = significand >> dropped;
  }
  const uint32_t remainder = significand & ((1u << dropped) - 1);
  const uint32_t tie = 1u << (dropped - 1);
  if (remainder > tie || (remainder == tie && (value & 1) != 0)) ++value;  // may carry upward
  return static_cast<uint16_t>(sign | value);
}

// Exact; NaN payloads are kept as they are.
constexpr float BFloat16ToFloat(uint16_t b) { return std::bit_cast<float>(uint32_t{b} << 16); }

// True where a finite float has no finite half: a weight that must be refused, not clipped.
constexpr bool OverflowsHalf(float f) {
  const uint32_t magnitude = std::bit_cast<uint32_t>(f) & 0x7fff'ffffu;
  return magnitude >= std::bit_cast<uint32_t>(kHalfOverflow) && magnitude < 0x7f80'0000u;
}

static_assert(FloatToHalf(1.0f) == 0x3c00 && HalfToFloat(0x3c00) == 1.0f);
static_assert(FloatToHalf(65519.996f) == kHalfMax && FloatToHalf(65520.0f) == kHalfInfinity);

}  // namespace lockstep
