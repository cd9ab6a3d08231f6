#pragma once
// Where vectors lie in SRAM. Four MEM slices share a stream-register column (chip/geometry.h), so a
// column holds an fp32 vector (four byte planes) in one word of each of its slices, all the same
// distance from every unit; an fp16 vector takes two of them.
//
//   columns 0..2  (slices of rank 0..11)   activations, tables, buffers
//   ranks 12..43  (32 slices, 32 streams)  weights, KV cache, embedding: "weight rows"

#include "chip/geometry.h"

namespace lockstep {

inline constexpr int kColumns = 3;      // of a hemisphere, for activations
inline constexpr int kWeightRank = 12;  // first slice of the weights
inline constexpr int kWeightSlices = 32;
inline constexpr int kHalfLanes = 160;  // K of the fp16 array

// Consecutive fp32 vectors: words address, address + 1, ... of the column's four slices.
struct Quad {
  Hemisphere side;
  int column;
  int address;
  Quad operator+(int words) const { return {side, column, address + words}; }
};

// Consecutive fp16 vectors in slices `plane`, `plane + 1` (plane 0 or 2) of a column.
struct Pair {
  Hemisphere side;
  int column;
  int plane;
  int address;
  Pair operator+(int words) const { return {side, column, plane, address + words}; }
};

// Single vectors: one slice of a column.
struct Single {
  Hemisphere side;
  int column;
  int plane;
  int address;
  Single operator+(int words) const { return {side, column, plane, address + words}; }
};

constexpr int ColumnSlice(Hemisphere side, int column, int plane) {
  return SliceNumber(side, column * kSlicesPerColumn + plane);
}
constexpr int WeightSlice(Hemisphere side, int index) {
  return SliceNumber(side, kWeightRank + index);
}
// Streams that flow from the VXM towards the edge of `side`, and back.
constexpr Direction Outward(Hemisphere side) {
  return side == Hemisphere::kEast ? Direction::kEast : Direction::kWest;
}
constexpr Direction Inward(Hemisphere side) {
  return side == Hemisphere::kEast ? Direction::kWest : Direction::kEast;
}
constexpr Hemisphere Other(Hemisphere side) {
  return side == Hemisphere::kEast ? Hemisphere::kWest : Hemisphere::kEast;
}
constexpr int SxmPosition(Hemisphere side) {
  return side == Hemisphere::kEast ? kSxmEast : kSxmWest;
}
constexpr int MxmPosition(Hemisphere side) {
  return side == Hemisphere::kEast ? kMxmEast : kMxmWest;
}
constexpr int Hops(int from, int to) { return from < to ? to - from : from - to; }
constexpr int CeilDiv(int a, int b) { return (a + b - 1) / b; }

}  // namespace lockstep
