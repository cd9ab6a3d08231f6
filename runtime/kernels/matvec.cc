// Emission of matrix-vector products and the placement of their weights (runtime/kernels/matvec.h).
#include "runtime/kernels/matvec.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/product.h"

namespace lockstep {
namespace {

// Slots that the activation buffer holds.
int SegmentSlots(const Matrix& m) { return 2 * kActivationPairs / m.slot_stride; }
// Tiles of a group share the accumulators; one segment needs no grouping.
int GroupTiles(const Matrix& m) {
  return m.slots <= SegmentSlots(m) ? std::max(1, m.tiles()) : kAccumulators;
}

// Where (tile, slot) of a matrix in one piece begins.
int WeightRow(const Matrix& m, int tile, int slot) {
  int at = m.address;
  for (const SegmentOfTiles& s : m.Segments()) {
    const bool slot_here = slot >= s.first_slot && slot < s.first_slot + s.slots;
    const bool here = slot_here && tile >= s.first_tile && tile < s.first_tile + s.tiles;
    for (int t = s.first_tile; t < (here ? tile : s.first_tile + s.tiles); ++t) {
      at += m.tile_cycles(t) * s.slots;
    }
    if (here) return at + m.tile_cycles(tile) * (slot - s.first_slot);
  }
  LOCKSTEP_CHECK(false, "no slot %d of tile %d", slot, tile);
  return at;
}

}  // namespace

int Matrix::tile_cycles(int tile) const {
  const int rows_used = tile_rows(tile), lower = std::min(rows_used, kHalfLanes);
  if (tile == tiles() - 1 && last_first_row > 0) {
    return TileCycles(rows_used - last_first_row, format);
  }
  if (format == NumberFormat::kFp16) {
    return std::min(TileCycles(rows_used > kHalfLanes ? half_rows : rows_used),
                    TileCycles(rows_used));
  }
  const int upper = std::min(rows_used - lower, half_rows);
  return std::max(
      2, CeilDiv(std::min(lower, half_rows), kWeightSlices) + CeilDiv(upper, kWeightSlices));
}

int Matrix::loaded_row(int tile, int cycle) const {
  const int a_cycle = format == NumberFormat::kInt8 ? kWeightSlices : kWeightSlices / 2;
  if (tile == tiles() - 1) cycle += last_first_row / a_cycle;
  const int half = CeilDiv(half_rows, kWeightSlices);
  return format == NumberFormat::kFp16 || cycle < half ? cycle
                                                       : cycle - half + kHalfLanes / kWeightSlices;
}

int Matrix::weight_rows() const {
  int rows_used = 0;
  for (int t = 0; t < tiles(); ++t) rows_used += tile_cycles(t) * slots;
  return rows_used;
}

std::vector<SegmentOfTiles> Matrix::Segments() const {
  const int group = GroupTiles(*this), per = SegmentSlots(*this);
  std::vector<SegmentOfTiles> out;
  for (int g = 0; g < tiles(); g += group) {
    for (int s = 0; s < slots; s += per) {
      out.push_back({g, std::min(group, tiles() - g), s, std::min(per, slots - s)});
    }
  }
  return out;
}

WeightWords Matrix::WordsOf(int tile, int slot) const {
  WeightWords words;
  if (strips.empty()) {
    const int row = WeightRow(*this, tile, slot);
    for (int q = 0; q < kStreamQuads; ++q) words[q] = {kColumns + q, row};
    return words;
  }
  for (const Strip& s : strips[tile]) {
    if (slot < s.first_slot || slot >= s.first_slot + s.slots) continue;
    words = s.at;
    for (QuadWords& q : words) q.address += (slot - s.first_slot) * tile_cycles(tile);
    return words;
  }
  LOCKSTEP_CHECK(false, "no strip holds slot %d of tile %d", slot, tile);
  return words;
}

SlotOrder::SlotOrder(const Matrix& m, std::vector<int> order) : vectors(std::move(order)) {
  if (vectors.empty()) {
    vectors.resize(m.vectors());
    std::iota(vectors.begin(), vectors.end(), 0);
  }
  LOCKSTEP_CHECK(static_cast<int>(vectors.size()) == m.vectors(), "%d of %d vectors",
                 vectors.size(), m.vectors());
  std::vector<std::vector<int>> of_vector(m.vectors());
  for (int s = 0; s < m.slots; ++s) of_vector[m.vector_of(s)].push_back(s);
  for (size_t i = 0; i < vectors.size(); ++i) {
    for (int slot : of_vector[vectors[i]]) {
      slots.push_back(slot), index.push_back(static_cast<int>(i));
    }
  }
}

void StoreWeightRow(const Matrix& m, int row, int slot, const uint16_t* values,
                    const LaneStore& store) {
  const int r = row % kTileRows, pair = r % kHalfLanes % 16;
  const int tile = row / kTileRows;
  const QuadWords at = m.WordsOf(tile, slot)[2 * pair / kSlicesPerColumn];
  std::array<uint8_t, kHalfLanes> lo, hi;
  for (int k = 0; k < kHalfLanes; ++k) {
    lo[k] = static_cast<uint8_t>(values[k]);
    hi[k] = static_cast<uint8_t>(values[k] >> 8);
  }
  const int slice = ColumnSlice(m.side, at.column, 2 * pair % kSlicesPerColumn);
  const int address = at.address + r % kHalfLanes / 16 - m.loaded_row(tile, 0),
            lane = r / kHalfLanes * kHalfLanes;
  store(slice, address, lane, lo.data());
  store(slice + 1, address, lane, hi.data());
}

void StoreWeightRow(const Matrix& m, int row, int slot, const int8_t* values,
                    const LaneStore& store) {
  const int r = row % kTileRows, stream = r % kWeightSlices;
  int cycle = 0;
  while (m.loaded_row(row / kTileRows, cycle) < r / kWeightSlices) ++cycle;
  LOCKSTEP_CHECK(r % kHalfLanes < m.half_rows, "row %d of a half tile of %d", r, m.half_rows);
  const QuadWords at = m.WordsOf(row / kTileRows, slot)[stream / kSlicesPerColumn];
  const int slice = ColumnSlice(m.side, at.column, stream % kSlicesPerColumn);
  const auto* bytes = reinterpret_cast<const uint8_t*>(values);
  for (int lane : {0, kHalfLanes}) store(slice, at.address + cycle, lane, bytes + lane);
}

void TandemPlanes::Stream(Block& b, int address, int cycles, int64_t at, int stride) const {
  for (int j = 0; j < kWeightSlices; ++j) {
    const int slice = WeightSlice(side, j);
    const int64_t read = at - Hops(SlicePosition(slice), position()) - d(Opcode::kRead);
    b.At(MemQueue(slice), ops::Read(address, stride, InStream(j)), read, cycles);
  }
}

void TandemPlanes::Stream(Block& b, const WeightWords& words, int first, int cycles,
                          int64_t at) const {
  for (int j = 0; j < kWeightSlices; ++j) {
    const QuadWords& from = words[j / kSlicesPerColumn];
    const int slice = ColumnSlice(side, from.column, j % kSlicesPerColumn);
    const int64_t read = at - Hops(SlicePosition(slice), position()) - d(Opcode::kRead);
    b.At(MemQueue(slice), ops::Read(from.address + first, 1, InStream(j)), read, cycles);
  }
}

void TandemPlanes::LoadTile(Block& b, int cycles, int64_t at, int first_row) const {
  // Rows a cycle loads of a buffer: 16 in each lane half of the tandem's, or 32 of the two planes'.
  const int rows = format == NumberFormat::kInt8 ? kWeightSlices : kWeightSlices / 2;
  for (int half = 0; half < 2; ++half) {
    b.At(MxmQueue(plane() + half, kMxmLw),
         ops::Lw(type(), rows / 2 * half + rows * first_row, rows, 16, InStream(16 * half)), at,
         cycles);
  }
}

void TandemPlanes::Activate(Block& b, Pair src, int entry, int count, int64_t at,
                            int stride) const {
  for (int k = 0; k < TypeBytes(type()); ++k) {
    const int slice = ColumnSlice(side, src.column, src.plane + k);
    const int64_t read = at - Hops(SlicePosition(slice), position()) - d(Opcode::kRead);
    b.At(MemQueue(slice), ops::Read(src.address, stride, InStream(k)), read, count);
  }
  for (int p = 0; p < arrays(); ++p) {
    b.At(MxmQueue(plane() + p, kMxmAbc), ops::AbcLoad(type(), entry, 1, InStream(0)), at, count);
  }
}

void TandemPlanes::Install(Block& b, int64_t at, int count, int period) const {
  for (int p = 0; p < arrays(); ++p) {
    b.At(MxmQueue(plane() + p, kMxmIw), ops::Iw(type()), at, count, period);
  }
}

void TandemPlanes::StoreResult(Block& b, int stream, Quad dst, int64_t acc, int count, int period,
                               int stride) const {
  for (int k = 0; k < 4; ++k) {
    const int slice = ColumnSlice(dst.side, dst.column, k);
    const int64_t write = acc + d(Opcode::kAcc) + Hops(position(), SlicePosition(slice));
    b.At(MemQueue(slice), ops::Write(dst.address, stride, stream + k), write, count, period);
  }
}

void PlaceMatVec(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m, Pair x,
                 Quad y) {
  LOCKSTEP_CHECK(m.format == NumberFormat::kFp16, "%s: weights in fp16", name);
  Product product(placer, timing, {{name, m, {y, y}}}, x, {});
  while (!product.done()) product.Step();
}

void PlaceInt8MatVec(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                     Single x, Quad even, Quad odd) {
  LOCKSTEP_CHECK(m.format == NumberFormat::kInt8 && m.slot_stride == 1, "%s: weights in int8", name);
  LOCKSTEP_CHECK(m.slots * kLanes <= kInt8SumTerms, "%s: a sum of %d terms", name, m.slots * kLanes);
  const Pair bytes{x.side, x.column, x.plane, x.address};
  Product product(placer, timing, {{name, m, {even, odd}}}, bytes, {});
  while (!product.done()) product.Step();
}

}  // namespace lockstep
