#pragma once
// Matrices of a checkpoint in a chip's SRAM, in the format that the layout gives them.

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/compiler/image.h"
#include "runtime/compiler/layout.h"
#include "runtime/model/checkpoint.h"

namespace lockstep {

// Columns of a tensor in lanes lane, lane + 1, ... of a slot; lanes without any hold zeros.
struct SlotColumns {
  int lane = 0;
  Range columns;
};

// Which part of a tensor a shard's matrix is.
struct MatrixSource {
  std::string tensor;
  std::array<int64_t, 2> shape;        // of the tensor
  std::function<int(int row)> row_of;  // the tensor's row, by the shard's; -1: padding
  std::function<std::vector<SlotColumns>(int slot)> columns_of;
};

// Writes those rows of the matrix that have a row of the tensor, and an int8 matrix' row scales:
// those of whole rows of the tensor (runtime/compiler/int8_weights.h). Errors are the checkpoint's;
// in int8 also a weight that is not finite.
absl::Status WriteMatrix(const Checkpoint& weights, const MatrixSource& source,
                         const SplitMatrix& to, HostMemory& memory);

}  // namespace lockstep
