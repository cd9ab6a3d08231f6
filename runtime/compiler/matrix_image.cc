// Matrices in SRAM (runtime/compiler/matrix_image.h).
#include "runtime/compiler/matrix_image.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/compiler/int8_weights.h"

namespace lockstep {
namespace {

// The values of a slot, zeros where it has no columns.
// The values of a slot, zeros where it has no columns. Returns the lanes that have some.
template <typename T, size_t kSize>
Range FillSlot(const MatrixSource& source, int slot, const std::vector<T>& row,
               std::array<T, kSize>& values) {
  values.fill(0);
  Range lanes{kSize, 0};
  for (const SlotColumns& part : source.columns_of(slot)) {
    if (part.columns.size() <= 0) continue;
    std::copy(row.begin() + part.columns.begin, row.begin() + part.columns.end,
              values.begin() + part.lane);
    lanes = {std::min(lanes.begin, part.lane),
             std::max(lanes.end, part.lane + part.columns.size())};
  }
  return lanes;
}

// The rows of one part of a matrix, one after the other.
class PartWriter {
 public:
  PartWriter(const Checkpoint& weights, const MatrixSource& source, const SplitMatrix::Part& part,
             HostMemory& memory)
      : weights_(weights),
        source_(source),
        part_(part),
        memory_(memory),
        store_([this](int slice, int address, int lane, const uint8_t* bytes) {
          Store(slice, address, lane, bytes);
        }) {}

  absl::Status Write() {
    const bool int8 = part_.matrix.format == NumberFormat::kInt8;
    for (int r = 0; r < part_.matrix.rows; ++r) {
      const int from = source_.row_of(part_.first_row + r);
      if (from >= 0) RETURN_IF_ERROR(int8 ? Int8Row(r, from) : HalfRow(r, from));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status HalfRow(int r, int from) {
    halves_.resize(source_.shape[1]);
    RETURN_IF_ERROR(weights_.ReadRowsF16(source_.tensor, source_.shape,
                                         {from, 1, 0, source_.shape[1]}, halves_));
    std::array<uint16_t, kHalfLanes> values;
    for (int s = 0; s < part_.matrix.slots; ++s) {
      lanes_ = FillSlot(source_, s, halves_, values);
      StoreWeightRow(part_.matrix, r, s, values.data(), store_);
    }
    return absl::OkStatus();
  }

  // Of 160 lanes those that this matrix has in the slot: the others may be another's.
  void Store(int slice, int address, int lane, const uint8_t* bytes) {
    // In fp16 both lane halves hold a slot's columns, in int8 one half after the other.
    const int first = part_.matrix.format == NumberFormat::kInt8 ? lane : 0;
    const int from = std::max(lanes_.begin - first, 0);
    const int to = std::min(lanes_.end - first, kHalfLanes);
    if (from >= to) return;
    memory_.Store(slice, address, lane + from, {bytes + from, static_cast<size_t>(to - from)});
  }

  absl::Status Int8Row(int r, int from) {
    floats_.resize(source_.shape[1]), bytes_.resize(source_.shape[1]);
    RETURN_IF_ERROR(weights_.ReadRowsF32(source_.tensor, source_.shape,
                                         {from, 1, 0, source_.shape[1]}, floats_));
    for (size_t i = 0; i < floats_.size(); ++i) {
      if (std::isfinite(floats_[i])) continue;
      return absl::OutOfRangeError(absl::StrCat(weights_.folder(), ": tensor ", source_.tensor,
                                                ": the weight ", floats_[i], " at row ", from,
                                                ", column ", i, " cannot be quantised"));
    }
    StoreScale(r, QuantiseRow(floats_, bytes_));
    std::array<int8_t, kLanes> values;
    for (int s = 0; s < part_.matrix.slots; ++s) {
      lanes_ = FillSlot(source_, s, bytes_, values);
      StoreWeightRow(part_.matrix, r, s, values.data(), store_);
    }
    return absl::OkStatus();
  }

  // Of one row alone: rows of another tensor may share its word.
  void StoreScale(int r, float scale) {
    const Quad at = part_.row_scale + r / kTileRows;
    const auto bytes = std::bit_cast<std::array<uint8_t, 4>>(scale);
    for (int plane = 0; plane < kSlicesPerColumn; ++plane) {
      memory_.Store(ColumnSlice(at.side, at.column, plane), at.address, r % kTileRows,
                    {&bytes[plane], 1});
    }
  }

  const Checkpoint& weights_;
  const MatrixSource& source_;
  const SplitMatrix::Part& part_;
  HostMemory& memory_;
  const LaneStore store_;
  Range lanes_;  // of the slot that is being stored
  std::vector<uint16_t> halves_;
  std::vector<float> floats_;
  std::vector<int8_t> bytes_;
};

}  // namespace

absl::Status WriteMatrix(const Checkpoint& weights, const MatrixSource& source,
                         const SplitMatrix& to, HostMemory& memory) {
  for (const SplitMatrix::Part& part : to.parts) {
    RETURN_IF_ERROR(PartWriter(weights, source, part, memory).Write());
  }
  return absl::OkStatus();
}

}  // namespace lockstep
