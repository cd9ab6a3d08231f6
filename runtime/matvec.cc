// Emission of matrix-vector products and the placement of their weights (runtime/matvec.h).
#include "runtime/matvec.h"

#include <algorithm>
#include <array>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {
namespace {

constexpr int kSegmentSlots = 2 * kActivationPairs;

struct Segment {
  int first_slot, slots;
};

std::vector<Segment> Segments(const Matrix& m) {
  const int per = kSegmentSlots / m.slot_stride;
  std::vector<Segment> out;
  for (int s = 0; s < m.slots; s += per) out.push_back({s, std::min(per, m.slots - s)});
  return out;
}

// Tiles of a group share the accumulators; one segment needs no grouping.
int GroupTiles(const Matrix& m) { return Segments(m).size() == 1 ? m.tiles() : kAccumulators; }

}  // namespace

int Matrix::weight_rows() const {
  int rows_used = 0;
  for (int t = 0; t < tiles(); ++t) rows_used += tile_cycles(t) * slots;
  return rows_used;
}

void ForEachTile(const Matrix& m, const std::function<void(int, int, int)>& visit) {
  const int group = std::max(1, GroupTiles(m));
  int row = m.address;
  for (int g = 0; g < m.tiles(); g += group) {
    for (const Segment& seg : Segments(m)) {
      for (int t = g; t < std::min(g + group, m.tiles()); ++t) {
        for (int s = seg.first_slot; s < seg.first_slot + seg.slots; ++s) {
          visit(t, s, row);
          row += m.tile_cycles(t);
        }
      }
    }
  }
}

namespace {

// Where tile (tile, slot) begins: closed form of ForEachTile's walk.
int TileAddress(const Matrix& m, int tile, int slot) {
  const int group = std::max(1, GroupTiles(m)), g = tile / group * group;
  const int per = kSegmentSlots / m.slot_stride, seg = slot / per;
  int at = m.address;
  for (int t = 0; t < g; ++t) at += m.tile_cycles(t) * m.slots;
  for (int t = g; t < std::min(g + group, m.tiles()); ++t) {
    at += m.tile_cycles(t) * std::min(seg * per, m.slots);
  }
  const int seg_slots = std::min(per, m.slots - seg * per);
  for (int t = g; t < tile; ++t) at += m.tile_cycles(t) * seg_slots;
  return at + m.tile_cycles(tile) * (slot - seg * per);
}

}  // namespace

void StoreWeightRow(const Matrix& m, int row, int slot, const uint16_t* values,
                    const LaneStore& store) {
  const int r = row % kTileRows;
  const int at = TileAddress(m, row / kTileRows, slot) + r % kHalfLanes / 16;
  std::array<uint8_t, kHalfLanes> lo, hi;
  for (int k = 0; k < kHalfLanes; ++k) {
    lo[k] = static_cast<uint8_t>(values[k]);
    hi[k] = static_cast<uint8_t>(values[k] >> 8);
  }
  const int pair = r % kHalfLanes % 16, lane = r / kHalfLanes * kHalfLanes;
  store(WeightSlice(m.side, 2 * pair), at, lane, lo.data());
  store(WeightSlice(m.side, 2 * pair + 1), at, lane, hi.data());
}

void StoreWeightRow(const Matrix& m, int row, int slot, const int8_t* values,
                    const LaneStore& store) {
  const int r = row % kTileRows, slice = WeightSlice(m.side, r % kWeightSlices);
  const int at = TileAddress(m, row / kTileRows, slot) + r / kWeightSlices;
  const auto* bytes = reinterpret_cast<const uint8_t*>(values);
  for (int lane : {0, kHalfLanes}) store(slice, at, lane, bytes + lane);
}

void TandemPlanes::Stream(Block& b, int address, int cycles, int64_t at, int stride) const {
  for (int j = 0; j < kWeightSlices; ++j) {
    const int slice = WeightSlice(side, j);
    const int64_t read = at - Hops(SlicePosition(slice), position()) - d(Opcode::kRead);
    b.At(MemQueue(slice), ops::Read(address, stride, InStream(j)), read, cycles);
  }
}

void TandemPlanes::LoadTile(Block& b, int cycles, int64_t at) const {
  // Rows a cycle loads of a buffer: 16 in each lane half of the tandem's, or 32 of the two planes'.
  const int rows = format == WeightFormat::kInt8 ? kWeightSlices : kWeightSlices / 2;
  for (int half = 0; half < 2; ++half) {
    b.At(MxmQueue(plane() + half, kMxmLw),
         ops::Lw(type(), rows / 2 * half, rows, 16, InStream(16 * half)), at, cycles);
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

namespace {

// One segment of x against one group of row tiles.
struct MatVecPart {
  const Matrix& m;
  int first_tile, tiles;
  Segment segment;
  bool first, last;  // segment of the sum
  int row;           // weight row where it begins
};

// Where a product's vectors lie: x as fp16 pairs, or int8 in one slice (`plane` of x); the sums of each
// array.
struct MatVecPlaces {
  Pair x;
  Quad y[2];
};

// Takes the results of one row tile: set by the first slot of the sum, emitted after the last.
void EmitSum(Block& b, const TandemPlanes& mxm, const MatVecPart& part, int tile, int entry,
             int64_t take, int period, const Quad y[2]) {
  const int slots = part.segment.slots;
  for (int p = 0; p < mxm.arrays(); ++p) {
    const int acc = MxmQueue(mxm.plane() + p, kMxmAcc), out = mxm.OutStream(4 * p);
    const auto emit = [&](int slot, int count, bool add, bool final) {
      b.At(acc, ops::Acc(mxm.type(), entry, 0, add, final ? out : kNoStream),
           take + int64_t{slot} * period, count, period);
    };
    const int head = part.first ? 1 : 0, tail = part.last ? 1 : 0;
    if (slots == 1) {
      emit(0, 1, !part.first, part.last);
    } else {
      emit(0, head, false, false);
      emit(head, slots - head - tail, true, false);
      emit(slots - 1, tail, true, true);
    }
    if (part.last) mxm.StoreResult(b, out, y[p] + tile, take + int64_t{slots - 1} * period);
  }
}

Block MatVecBlock(const char* name, const TandemPlanes& mxm, const MatVecPart& part, bool sums,
                  const MatVecPlaces& places) {
  const Matrix& m = part.m;
  const Segment& seg = part.segment;
  Block b(name);
  const int vectors = m.vectors_of(seg.slots);
  mxm.Activate(b, places.x + m.vector_of(seg.first_slot), 0, vectors, 0);
  int64_t load = vectors, install = 0, feed = 0, first_install = 0, first_take = 0;
  int row = part.row;
  for (int t = part.first_tile; t < part.first_tile + part.tiles; ++t) {
    const int cycles = m.tile_cycles(t), period = mxm.TilePeriod(cycles);
    const bool gapless = period == cycles;
    for (int s = 0; s < seg.slots; ++s, row += cycles) {
      mxm.LoadTile(b, cycles, load + int64_t{s} * period);
      if (!gapless) mxm.Stream(b, row, cycles, load + int64_t{s} * period);
    }
    if (gapless) mxm.Stream(b, row - seg.slots * cycles, seg.slots * cycles, load);
    install = mxm.InstallAt(load + cycles - 1);
    feed = mxm.FeedAt(install);
    if (t == part.first_tile) first_install = install, first_take = mxm.ResultAt(feed);
    mxm.Install(b, install, seg.slots, period);
    for (int p = 0; p < mxm.arrays(); ++p) {
      b.At(MxmQueue(mxm.plane() + p, kMxmAbc), ops::AbcFeed(mxm.type(), 0, m.slot_stride), feed,
           seg.slots, period);
    }
    const int entry = sums ? t - part.first_tile : 0;
    EmitSum(b, mxm, part, t, entry, mxm.ResultAt(feed), period, places.y);
    const int64_t steps = int64_t{seg.slots - 1} * period;
    install += steps, feed += steps;
    load += int64_t{seg.slots} * period;
  }
  b.HoldFor(HoldIndex(Hold::kWeightBuffer, m.side), vectors, install - 1);
  b.HoldFor(HoldIndex(Hold::kArray, m.side), first_install, feed);
  b.HoldFor(HoldIndex(Hold::kActivations, m.side), 0, feed);
  b.HoldFor(HoldIndex(Hold::kAccumulators, m.side), first_take, mxm.ResultAt(feed));
  return b;
}

void PlaceProduct(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                  const MatVecPlaces& places) {
  LOCKSTEP_CHECK(places.x.side == m.side, "%s: the vector lies on the other side", name);
  const TandemPlanes mxm{timing, m.side, m.format};
  const std::vector<Segment> segments = Segments(m);
  const int group = std::max(1, GroupTiles(m));
  int row = m.address;
  for (int g = 0; g < m.tiles(); g += group) {
    for (const Segment& seg : segments) {
      const MatVecPart part{m, g, std::min(group, m.tiles() - g), seg, &seg == &segments.front(),
                            &seg == &segments.back(), row};
      placer.Place(MatVecBlock(name, mxm, part, segments.size() > 1, places));
      for (int t = g; t < g + part.tiles; ++t) row += m.tile_cycles(t) * seg.slots;
    }
  }
}

}  // namespace

void PlaceMatVec(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m, Pair x,
                 Quad y) {
  LOCKSTEP_CHECK(m.format == WeightFormat::kFp16, "%s: weights in fp16", name);
  PlaceProduct(placer, timing, name, m, {x, {y, {}}});
}

void PlaceInt8MatVec(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                     Single x, Quad even, Quad odd) {
  LOCKSTEP_CHECK(m.format == WeightFormat::kInt8 && m.slot_stride == 1, "%s: weights in int8", name);
  LOCKSTEP_CHECK(m.slots * kLanes <= kInt8SumTerms, "%s: a sum of %d terms", name, m.slots * kLanes);
  PlaceProduct(placer, timing, name, m, {{x.side, x.column, x.plane, x.address}, {even, odd}});
}

}  // namespace lockstep
