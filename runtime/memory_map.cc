// SRAM allocation (runtime/memory_map.h).
#include "runtime/memory_map.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {
const char* SideName(int side) { return side == 0 ? "west" : "east"; }
}  // namespace

int MemoryMap::Take(Hemisphere side, int column, int plane, int planes, int count) {
  auto& slices = words_[static_cast<int>(side)][column];
  const int address = *std::max_element(slices.begin() + plane, slices.begin() + plane + planes);
  std::fill_n(slices.begin() + plane, planes, address + count);
  return std::min(address, kWordsPerSlice - 1);
}

Quad MemoryMap::Words(Hemisphere side, int column, int count) {
  return {side, column, Take(side, column, 0, 4, count)};
}

Pair MemoryMap::PairWords(Hemisphere side, int column, int plane, int count) {
  return {side, column, plane, Take(side, column, plane, 2, count)};
}

Single MemoryMap::SingleWords(Hemisphere side, int column, int plane, int count) {
  return {side, column, plane, Take(side, column, plane, 1, count)};
}

int MemoryMap::WeightRows(Hemisphere side, int count) {
  int& used = weights_[static_cast<int>(side)];
  const int first = used;
  used += count;
  return first;
}

Hemisphere MemoryMap::Roomier() const {
  return weights_[1] < weights_[0] ? Hemisphere::kEast : Hemisphere::kWest;
}

Matrix MemoryMap::Place(Hemisphere side, int rows, int slots, int slot_stride) {
  Matrix m{side, 0, rows, slots, slot_stride};
  m.address = WeightRows(side, m.weight_rows());
  return m;
}

int MemoryMap::column_words_used(Hemisphere side, int column) const {
  const auto& slices = words_[static_cast<int>(side)][column];
  return *std::max_element(slices.begin(), slices.end());
}

int64_t MemoryMap::bytes_used() const {
  int64_t words = 0;
  for (int side = 0; side < 2; ++side) {
    words += int64_t{weights_[side]} * kWeightSlices;
    for (const auto& column : words_[side]) {
      for (int used : column) words += used;
    }
  }
  return words * kVectorBytes;
}

absl::Status MemoryMap::Check() const {
  for (int side = 0; side < 2; ++side) {
    if (weights_[side] > kWordsPerSlice) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "weights and KV cache take ", weights_[side], " rows of the ", SideName(side),
          " weight slices, which have ", kWordsPerSlice, " (",
          (int64_t{weights_[side]} - kWordsPerSlice) * kWeightSlices * kVectorBytes,
          " B too many a chip); use more chips or a shorter context"));
    }
    for (int c = 0; c < kColumns; ++c) {
      const int used = *std::max_element(words_[side][c].begin(), words_[side][c].end());
      if (used <= kWordsPerSlice) continue;
      return absl::ResourceExhaustedError(absl::StrCat(
          "activations and tables take ", used, " words of ", SideName(side), " column ", c,
          ", which has ", kWordsPerSlice, "; use a shorter context"));
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep
