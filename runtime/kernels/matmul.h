#pragma once
// Matrix products with several vectors: Y[b] = W X[b] for b = 0..batch - 1. Weights stream and are
// installed once a tile, and then fed with a slot of every vector:
//
//   load       | s0 | s1   | s2   |       weights of a slot, around what takes single cycles
//   activate          x1 of b0 .. b15      while the array is fed with x0
//   feed            b0 b1 .. b15|b0 b1 ..
//
// The activation buffer holds a few vectors of all positions; they are loaded again for each group of
// row tiles that share the accumulators. Sums in fp16 are made slot by slot, as for a single vector:
// the same bits. Sums in int8 are exact in any order: each group of row tiles takes the vectors the
// other way round, beginning with those that are still in the buffer.

#include <functional>
#include <vector>

#include "runtime/kernels/matvec.h"

namespace lockstep {

inline constexpr int kMaxBatch = kAccumulators;

// Vectors of position b begin `stride` vectors after those of b - 1. at: on the matrix' side (int8: in
// slice `plane`).
struct BatchIn {
  Pair at;
  int stride;
};
// A vector a tile of rows; int8: at: sums of the even plane, odd: of the odd one, in different columns.
struct BatchOut {
  Quad at;
  int stride;
  Quad odd{};
};
// order: of the vectors of a position, as they are summed; empty: as they lie. groups: int8: how many
// of them, in that order, share a sum; empty: all.
struct BatchOrder {
  std::vector<int> order{};
  std::vector<int> groups{};
};

// As PlaceMatVec for `batch` (1..16) vectors, or in int8 as a Product in groups
// (runtime/kernels/product.h) for each of them. Each time sums of a row tile are stored, those of all
// positions, calls stored(tile, sum); the next sum of that tile goes to the same place.
// REQUIRES: int8: a sum has at most kInt8SumTerms.
void PlaceMatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                 int batch, BatchIn x, BatchOut y, const BatchOrder& order = {},
                 const std::function<void(int tile, int sum)>& stored = nullptr);

}  // namespace lockstep
