// Emission of matrix-vector products (runtime/kernels/product.h).
#include "runtime/kernels/product.h"

#include <algorithm>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {

Product::Product(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                 Pair x, std::array<Quad, 2> y)
    : placer_(placer),
      mxm_{timing, m.side, m.format},
      name_(name),
      m_(m),
      x_(x),
      y_(y),
      segments_(m.Segments()) {
  LOCKSTEP_CHECK(x.side == m.side, "%s: the vector lies on the other side", name);
}

void Product::Step() {
  const SegmentOfTiles& segment = segments_[segment_];
  const int tile = segment.first_tile + tile_, slot = segment.first_slot + slot_;
  Load(m_.WordsOf(tile, slot), m_.tile_cycles(tile));
  const int64_t install = Install();
  if (tile_ == 0 && slot_ == 0) Activate(segment);
  Feed(install, segments_.size() == 1 ? 0 : tile_);
  if (++slot_ < segment.slots) return;
  slot_ = 0;
  if (segment.first_slot + segment.slots == m_.slots) stored_ = tile + 1;
  if (++tile_ < segment.tiles) return;
  tile_ = 0, ++segment_;
}

// In one piece if that is possible at once; else around what takes single cycles.
void Product::Load(const WeightWords& words, int cycles) {
  for (int row = 0; row < cycles;) {
    int rows = cycles - row;
    if (LoadPiece(words, row, rows, false) > load_) {
      const int64_t first = LoadPiece(words, row, 1, false);
      while (rows > 1 && LoadPiece(words, row, rows, false) > first) --rows;
    }
    load_ = LoadPiece(words, row, rows, true) + rows;
    row += rows;
  }
}

int64_t Product::LoadPiece(const WeightWords& words, int first, int rows, bool place) {
  Block b(name_);
  mxm_.Stream(b, words, first, rows, 0);
  mxm_.LoadTile(b, rows, 0, first);
  b.HoldFor(HoldIndex(Hold::kWeightBuffer, m_.side), 0, rows - 1);
  return place ? placer_.Place(b, load_) : placer_.Find(b, load_);
}

bool Product::LastSlot() const {
  const SegmentOfTiles& segment = segments_.back();
  return segment_ + 1 == segments_.size() && tile_ + 1 == segment.tiles &&
         slot_ + 1 == segment.slots;
}

int64_t Product::Install() {
  Block b(name_);
  mxm_.Install(b, 0);
  // Rows of another format wait until the buffers of both planes are empty.
  b.HoldFor(HoldIndex(Hold::kWeightBuffer, m_.side), 0, LastSlot() && mxm_.arrays() > 1 ? 0 : -1);
  b.HoldFor(HoldIndex(Hold::kArray, m_.side), 0, 0);
  const int64_t at = placer_.Place(b, mxm_.InstallAt(load_ - 1));
  load_ = std::max(load_, at);
  return at;
}

void Product::HoldEntry(Block& b, int vector, int64_t at) const {
  const bool pairs = m_.format == NumberFormat::kFp16;
  for (int v = 0; v < (pairs ? 2 : 1); ++v) {
    b.HoldFor(ActivationHold(m_.side, pairs ? 2 * vector + v : vector), at, at);
  }
}

void Product::Activate(const SegmentOfTiles& segment) {
  const Pair x = x_ + m_.vector_of(segment.first_slot);
  for (int v = 0; v < m_.vectors_of(segment.slots); ++v) {
    Block b(name_);
    mxm_.Activate(b, x + v, v, 1, 0);
    HoldEntry(b, v, 0);
    placer_.Place(b);
  }
}

void Product::Feed(int64_t install, int accumulator) {
  const SegmentOfTiles& segment = segments_[segment_];
  const int slot = segment.first_slot + slot_;
  const bool last = slot == m_.slots - 1;
  const int64_t take = mxm_.ResultAt(0);
  Block b(name_);
  for (int p = 0; p < mxm_.arrays(); ++p) {
    const int out = mxm_.OutStream(4 * p);
    b.At(MxmQueue(mxm_.plane() + p, kMxmAbc),
         ops::AbcFeed(mxm_.type(), slot_ * m_.slot_stride, m_.slot_stride), 0);
    b.At(MxmQueue(mxm_.plane() + p, kMxmAcc),
         ops::Acc(mxm_.type(), accumulator, 0, slot > 0, last ? out : kNoStream), take);
    if (last) mxm_.StoreResult(b, out, y_[p] + (segment.first_tile + tile_), take);
  }
  b.HoldFor(HoldIndex(Hold::kArray, m_.side), 0, 0);
  b.HoldFor(HoldIndex(Hold::kAccumulators, m_.side), take, take);
  HoldEntry(b, m_.vector_of(slot_), 0);
  placer_.Place(b, mxm_.FeedAt(install));
}

void PlaceTogether(std::vector<std::vector<Product>>& sequences,
                   const std::function<void(size_t, size_t, int)>& stored) {
  std::vector<size_t> current(sequences.size(), 0);
  for (;;) {
    size_t chosen = sequences.size();
    for (size_t s = 0; s < sequences.size(); ++s) {
      while (current[s] < sequences[s].size() && sequences[s][current[s]].done()) ++current[s];
      if (current[s] == sequences[s].size()) continue;
      const bool earlier =
          chosen == sequences.size() ||
          sequences[s][current[s]].next() < sequences[chosen][current[chosen]].next();
      if (earlier) chosen = s;
    }
    if (chosen == sequences.size()) return;
    Product& product = sequences[chosen][current[chosen]];
    const int before = product.stored();
    product.Step();
    for (int t = before; t < product.stored(); ++t) stored(chosen, current[chosen], t);
  }
}

}  // namespace lockstep
