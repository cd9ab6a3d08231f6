#pragma once
// Matrix products with several vectors: Y[b] = W X[b] for b = 0..batch - 1. Weights stream and are
// installed once a tile, and then fed with a slot of every vector:
//
//   load       | s0 | s1   | s2   |       weights of a slot, around what takes single cycles
//   activate          x1 of b0 .. b15      while the array is fed with x0
//   feed            b0 b1 .. b15|b0 b1 ..
//
// The activation buffer holds a few vectors of all positions; they are loaded again for each group of
// row tiles that share the accumulators. Sums are made slot by slot, as for a single vector: the
// same bits.

#include "runtime/kernels/matvec.h"

namespace lockstep {

inline constexpr int kMaxBatch = kAccumulators;

// Vectors of position b begin `stride` vectors after those of b - 1.
struct BatchIn {
  Pair at;
  int stride;
};
struct BatchOut {
  Quad at;
  int stride;
};

// As PlaceMatVec for `batch` (1..16) vectors. x lies on the matrix' side; order: of the vectors of a
// position, as they are summed; empty: as they lie.
// REQUIRES: m.format is fp16.
void PlaceMatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                 int batch, BatchIn x, BatchOut y, const std::vector<int>& order = {});

}  // namespace lockstep
