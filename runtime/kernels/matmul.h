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
// A vector a tile of rows.
struct BatchOut {
  Quad at;
  int stride;
};

// As PlaceMatVec for `batch` (1..16) vectors. order: of the vectors of a position, as they are summed;
// empty: as they lie. REQUIRES: m.format is fp16.
void PlaceMatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                 int batch, BatchIn x, BatchOut y, const std::vector<int>& order = {});

// Sums of int8 products, of the even and of the odd plane, in different columns. Those of a row tile are
// `batch` vectors, at one of kBatchSums places in turn:
//
//   place 0: tile 0 of b0 b1 .. | 1: tile 1 of b0 b1 .. | 2: .. | 3: .. | 0: tile 4 ..
//
// so whoever takes them does so before that many more are made, and they need room for a few only.
struct BatchSums {
  Quad even, odd;
  BatchSums operator+(int words) const { return {even + words, odd + words}; }
};
inline constexpr int kBatchSums = 4;

// As Product (runtime/kernels/product.h) for each of `batch` int8 vectors. groups: how many of them, in
// their order, share a sum; empty: all. Each time sums of a row tile are emitted calls
// stored(tile, sum, where they are of all positions). REQUIRES: a sum has at most kInt8SumTerms.
using OnBatchStored = std::function<void(int tile, int sum, const BatchSums& at)>;
void PlaceInt8MatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                     int batch, BatchIn x, const BatchSums& sums, const std::vector<int>& order,
                     const std::vector<int>& groups, const OnBatchStored& stored);

}  // namespace lockstep
