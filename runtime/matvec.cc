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
  for (int t = 0; t < tiles(); ++t) rows_used += TileCycles(tile_rows(t)) * slots;
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
          row += TileCycles(m.tile_rows(t));
        }
      }
    }
  }
}

void StoreWeightRow(const Matrix& m, int row, int slot, const uint16_t* values,
                    const LaneStore& store) {
  const int tile = row / kTileRows, r = row % kTileRows;
  // Where tile (tile, slot) begins: closed form of ForEachTile's walk.
  const int group = std::max(1, GroupTiles(m)), g = tile / group * group;
  const int per = kSegmentSlots / m.slot_stride, seg = slot / per;
  int at = m.address;
  for (int t = 0; t < g; ++t) at += TileCycles(m.tile_rows(t)) * m.slots;
  for (int t = g; t < std::min(g + group, m.tiles()); ++t) {
    at += TileCycles(m.tile_rows(t)) * std::min(seg * per, m.slots);
  }
  const int seg_slots = std::min(per, m.slots - seg * per);
  for (int t = g; t < tile; ++t) at += TileCycles(m.tile_rows(t)) * seg_slots;
  at += TileCycles(m.tile_rows(tile)) * (slot - seg * per) + r % kHalfLanes / 16;

  std::array<uint8_t, kHalfLanes> lo, hi;
  for (int k = 0; k < kHalfLanes; ++k) {
    lo[k] = static_cast<uint8_t>(values[k]);
    hi[k] = static_cast<uint8_t>(values[k] >> 8);
  }
  const int pair = r % kHalfLanes % 16, lane = r / kHalfLanes * kHalfLanes;
  store(WeightSlice(m.side, 2 * pair), at, lane, lo.data());
  store(WeightSlice(m.side, 2 * pair + 1), at, lane, hi.data());
}

void TandemPlanes::Stream(Block& b, int address, int cycles, int64_t at, int stride) const {
  for (int j = 0; j < kWeightSlices; ++j) {
    const int slice = WeightSlice(side, j);
    const int64_t read = at - Hops(SlicePosition(slice), position()) - d(Opcode::kRead);
    b.At(MemQueue(slice), ops::Read(address, stride, InStream(j)), read, cycles);
  }
}

void TandemPlanes::LoadTile(Block& b, int cycles, int64_t at) const {
  for (int half = 0; half < 2; ++half) {
    b.At(MxmQueue(plane() + half, kMxmLw), ops::Lw(kTypeF16, 8 * half, 16, 16, InStream(16 * half)),
         at, cycles);
  }
}

void TandemPlanes::Activate(Block& b, Pair src, int entry, int count, int64_t at,
                            int stride) const {
  for (int k = 0; k < 2; ++k) {
    const int slice = ColumnSlice(side, src.column, src.plane + k);
    const int64_t read = at - Hops(SlicePosition(slice), position()) - d(Opcode::kRead);
    b.At(MemQueue(slice), ops::Read(src.address, stride, InStream(k)), read, count);
  }
  b.At(MxmQueue(plane(), kMxmAbc), ops::AbcLoad(kTypeF16, entry, 1, InStream(0)), at, count);
}

void TandemPlanes::Install(Block& b, int64_t at) const {
  b.At(MxmQueue(plane(), kMxmIw), ops::Iw(kTypeF16), at);
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

// Takes the results of one row tile: set by the first slot of the sum, emitted after the last.
void EmitSum(Block& b, const TandemPlanes& mxm, const MatVecPart& part, int tile, int entry,
             int64_t take, int period, Quad y) {
  const int acc = MxmQueue(mxm.plane(), kMxmAcc), out = mxm.OutStream(0);
  const int slots = part.segment.slots;
  const auto emit = [&](int slot, int count, bool add, bool final) {
    b.At(acc, ops::Acc(kTypeF16, entry, 0, add, final ? out : kNoStream),
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
  if (part.last) mxm.StoreResult(b, out, y + tile, take + int64_t{slots - 1} * period);
}

Block MatVecBlock(const char* name, const TandemPlanes& mxm, const MatVecPart& part, bool sums,
                  Pair x, Quad y) {
  const Matrix& m = part.m;
  const Segment& seg = part.segment;
  Block b(name);
  const int vectors = CeilDiv(seg.slots * m.slot_stride, 2);
  mxm.Activate(b, x + seg.first_slot * m.slot_stride / 2, 0, vectors, 0);
  int64_t load = vectors, install = 0, feed = 0, first_install = 0, first_take = 0;
  int row = part.row;
  for (int t = part.first_tile; t < part.first_tile + part.tiles; ++t) {
    const int cycles = TileCycles(m.tile_rows(t)), period = mxm.TilePeriod(cycles);
    const bool gapless = period == cycles;
    for (int s = 0; s < seg.slots; ++s, row += cycles) {
      mxm.LoadTile(b, cycles, load + int64_t{s} * period);
      if (!gapless) mxm.Stream(b, row, cycles, load + int64_t{s} * period);
    }
    if (gapless) mxm.Stream(b, row - seg.slots * cycles, seg.slots * cycles, load);
    install = mxm.InstallAt(load + cycles - 1);
    feed = mxm.FeedAt(install);
    if (t == part.first_tile) first_install = install, first_take = mxm.ResultAt(feed);
    b.At(MxmQueue(mxm.plane(), kMxmIw), ops::Iw(kTypeF16), install, seg.slots, period);
    b.At(MxmQueue(mxm.plane(), kMxmAbc), ops::AbcFeed(kTypeF16, 0, m.slot_stride), feed, seg.slots,
         period);
    const int entry = sums ? t - part.first_tile : 0;
    EmitSum(b, mxm, part, t, entry, mxm.ResultAt(feed), period, y);
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

}  // namespace

void PlaceMatVec(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m, Pair x,
                 Quad y) {
  LOCKSTEP_CHECK(x.side == m.side, "%s: the vector lies on the other side", name);
  const TandemPlanes mxm{timing, m.side};
  const std::vector<Segment> segments = Segments(m);
  const int group = std::max(1, GroupTiles(m));
  int row = m.address;
  for (int g = 0; g < m.tiles(); g += group) {
    for (const Segment& seg : segments) {
      const MatVecPart part{m, g, std::min(group, m.tiles() - g), seg, &seg == &segments.front(),
                            &seg == &segments.back(), row};
      placer.Place(MatVecBlock(name, mxm, part, segments.size() > 1, x, y));
      for (int t = g; t < g + part.tiles; ++t) row += TileCycles(m.tile_rows(t)) * seg.slots;
    }
  }
}

}  // namespace lockstep
