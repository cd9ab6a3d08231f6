#pragma once
// OneChip with int8 vectors, int32 sums and int8 matrices.

#include <bit>
#include <vector>

#include "runtime/kernels/int8_kernels.h"
#include "tests/runtime/one_chip.h"

namespace lockstep {

class Int8Chip : public OneChip {
 public:
  using OneChip::OneChip;
  Int8Kernels int8{timing, placer};

  std::vector<int8_t> RandomBytes(size_t count) {
    std::vector<int8_t> out(count);
    for (int8_t& v : out) v = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
    return out;
  }
  void StoreBytes(Single at, const std::vector<int8_t>& values) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    for (size_t i = 0; i < values.size(); i += kLanes) {
      const size_t n = std::min<size_t>(kLanes, values.size() - i);
      memory.Store(ColumnSlice(at.side, at.column, at.plane),
                   at.address + static_cast<int>(i / kLanes), 0, {bytes + i, n});
    }
  }
  std::vector<int> LoadBytes(Single at, int words) {
    std::vector<int> out;
    std::array<uint8_t, kVectorBytes> plane;
    for (int w = 0; w < words; ++w) {
      memory.Load(ColumnSlice(at.side, at.column, at.plane), at.address + w, plane);
      for (uint8_t b : plane) out.push_back(static_cast<int8_t>(b));
    }
    return out;
  }
  std::vector<int32_t> LoadIntegers(Quad at, int words) {
    std::vector<int32_t> out;
    for (float v : Load(at, words)) out.push_back(std::bit_cast<int32_t>(v));
    return out;
  }
  void StoreIntegers(Quad at, const std::vector<int32_t>& values) {
    std::vector<float> bits;
    for (int32_t v : values) bits.push_back(std::bit_cast<float>(v));
    Store(at, bits);
  }
  // w: rows x columns.
  void StoreInt8Matrix(const Matrix& m, const std::vector<int8_t>& w, int columns) {
    const LaneStore store = [&](int slice, int address, int lane, const uint8_t* bytes) {
      memory.Store(slice, address, lane, {bytes, kHalfLanes});
    };
    for (int row = 0; row < m.rows; ++row) {
      for (int slot = 0; slot < m.slots; ++slot) {
        std::array<int8_t, kLanes> values{};
        for (int k = 0; k < kLanes && slot * kLanes + k < columns; ++k) {
          values[k] = w[static_cast<size_t>(row) * columns + slot * kLanes + k];
        }
        StoreWeightRow(m, row, slot, values.data(), store);
      }
    }
  }
};

}  // namespace lockstep
