#pragma once
// Hands out SRAM: words of the activation columns and weight rows, per hemisphere, upwards from 0.
// Running out is remembered, not an abort: the compiler asks once, at the end, what was too small.

#include <array>
#include <string>

#include "absl/status/status.h"
#include "runtime/matvec.h"
#include "runtime/place.h"

namespace lockstep {

class MemoryMap {
 public:
  Quad Words(Hemisphere side, int column, int count);
  Pair PairWords(Hemisphere side, int column, int plane, int count);
  // One slice of a column.
  Single SingleWords(Hemisphere side, int column, int plane, int count);
  // Rows of all 32 weight slices; returns the first.
  int WeightRows(Hemisphere side, int count);
  // The side with more weight rows left (west where equal).
  Hemisphere Roomier() const;
  // Rows of a matrix on `side`.
  Matrix Place(Hemisphere side, int rows, int slots, int slot_stride = 1);

  int weight_rows_used(Hemisphere side) const { return weights_[static_cast<int>(side)]; }
  int column_words_used(Hemisphere side, int column) const;
  int64_t bytes_used() const;
  // Ok, or which part of SRAM is too small and by how much.
  absl::Status Check() const;

 private:
  int Take(Hemisphere side, int column, int plane, int planes, int count);

  std::array<int, 2> weights_{};
  std::array<std::array<std::array<int, kSlicesPerColumn>, kColumns>, 2> words_{};
};

}  // namespace lockstep
