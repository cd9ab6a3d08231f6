#pragma once
// Where things are on the chip, west to east, in stream-register hops (positions):
//
//   0     1     2 ........ 12   13    14 ........ 24   25    26
//   MXM_W SXM_W MEM_W 43 .. 0   VXM   MEM_E 0 .. 43    SXM_E MXM_E
//         C2C_W                                        C2C_E
//
// Four MEM slices share one stream-register column: 11 columns a hemisphere (facts: unpublished,
// see chip/latency.h for what is assumed). A value on an eastward stream moves one position east
// each cycle, on a westward one west.

#include <cstdint>

namespace lockstep {

inline constexpr int kStreamsPerDirection = 32;
inline constexpr int kSlicesPerHemisphere = 44;
inline constexpr int kSlices = 2 * kSlicesPerHemisphere;  // 0..43 west, 44..87 east
inline constexpr int kBanksPerSlice = 2;
inline constexpr int kWordsPerBank = 4096;
inline constexpr int kWordsPerSlice = kBanksPerSlice * kWordsPerBank;
inline constexpr int64_t kSramBytes = int64_t{kSlices} * kWordsPerSlice * 320;
static_assert(kSramBytes == 230'686'720);

inline constexpr int kPositions = 27;
inline constexpr int kMxmWest = 0, kSxmWest = 1, kVxm = 13, kSxmEast = 25, kMxmEast = 26;
inline constexpr int kSlicesPerColumn = 4;

enum class Hemisphere : uint8_t { kWest = 0, kEast = 1 };
enum class Direction : uint8_t { kEast = 0, kWest = 1 };

// Number of a MEM slice, 0..87, from hemisphere and distance rank (0 is next to the VXM).
constexpr int SliceNumber(Hemisphere h, int rank) {
  return static_cast<int>(h) * kSlicesPerHemisphere + rank;
}
// Position of MEM slice 0..87.
constexpr int SlicePosition(int slice) {
  return slice < kSlicesPerHemisphere
             ? kVxm - 1 - slice / kSlicesPerColumn
             : kVxm + 1 + (slice - kSlicesPerHemisphere) / kSlicesPerColumn;
}
static_assert(SlicePosition(0) == 12 && SlicePosition(43) == 2);
static_assert(SlicePosition(44) == 14 && SlicePosition(87) == 24);

// A diagonal: the name of a stream value that flows. A value at position p in cycle t lies on
// diagonal t - p (eastward) or t + p (westward) for as long as it flows.
constexpr int64_t Diagonal(Direction d, int position, int64_t cycle) {
  return d == Direction::kEast ? cycle - position : cycle + position;
}

inline constexpr int kC2cLinks = 16;  // 0..7 beside SXM_W, 8..15 beside SXM_E
constexpr int C2cPosition(int link) { return link < kC2cLinks / 2 ? kSxmWest : kSxmEast; }

}  // namespace lockstep
