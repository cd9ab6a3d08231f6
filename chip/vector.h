#pragma once
// The unit of data: one 320-byte vector, a byte for each lane (ISCA'20 section II).
//
//   lane      0 .. 15 | 16 .. 31 | ... | 304 .. 319
//   superlane    0    |    1     | ... |     19
//
// Wider elements are split into byte planes over an aligned group of streams (or SRAM words):
// int16 and fp16 over 2, int32 and fp32 over 4, least significant byte in the lowest stream.

#include <array>
#include <cstdint>

namespace lockstep {

inline constexpr int kLanes = 320;
inline constexpr int kSuperlanes = 20;
inline constexpr int kLanesPerSuperlane = 16;
inline constexpr int kVectorBytes = kLanes;

// Aligned for the widest SIMD unit of a host.
struct alignas(64) Vector {
  std::array<uint8_t, kVectorBytes> bytes{};
  bool operator==(const Vector&) const = default;
};
static_assert(sizeof(Vector) == kVectorBytes);

}  // namespace lockstep
