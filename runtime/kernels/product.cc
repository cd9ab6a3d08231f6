// Emission of matrix-vector products (runtime/kernels/product.h).
#include "runtime/kernels/product.h"

#include <algorithm>
#include <utility>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {
namespace {

// Vectors that the activation buffer holds.
int BufferOf(const Matrix& m) {
  return m.format == NumberFormat::kFp16 ? kActivationPairs : kActivationVectors;
}

}  // namespace

Product::Product(Placer& placer, const ChipTiming& timing, std::vector<ProductPart> parts, Pair x,
                 const Way& way)
    : placer_(placer), parts_(std::move(parts)), mxm_{timing, shape().side, shape().format}, x_(x),
      turns_(way.turns), slots_(shape(), way.order), loaded_(BufferOf(shape()), -1) {
  LOCKSTEP_CHECK(x.side == shape().side, "%s: the vector lies on the other side",
                 parts_.front().name);
  for (size_t p = 0; p < parts_.size(); ++p) {
    const Matrix &m = parts_[p].matrix, &first = shape();
    LOCKSTEP_CHECK(m.side == first.side && m.slots == first.slots &&
                       m.slot_stride == first.slot_stride && m.format == first.format,
                   "%s and %s multiply different vectors", parts_[p].name, parts_[0].name);
    for (int t = 0; t < m.tiles(); ++t) tiles_.push_back({static_cast<int>(p), t});
  }
  if (way.inwards && x.side == Hemisphere::kEast) std::reverse(tiles_.begin(), tiles_.end());
  BeginSegment();
}

// Whether x will be there when the next slot is.
bool Product::AllThere() const {
  const Tile& tile = tiles_[first_tile_];
  const WeightWords words = matrix(tile).WordsOf(tile.tile, slots_.slots[end_]);
  const int64_t next = placer_.Find(Piece(tile, words, 0, 1), load_);
  const int last = static_cast<int>(slots_.vectors.size()) - 1;
  return placer_.Find(Activation(last)) <= next + matrix(tile).tile_cycles(tile.tile);
}

// After slots ..end_ of a group, or at the start of one.
void Product::BeginSegment() {
  const int slots = slots_.size();
  const int tiles = static_cast<int>(tiles_.size());
  if (end_ == slots) first_tile_ += group_, end_ = 0;
  if (done()) return;
  first_ = end_, tile_ = 0, k_ = first_;
  const bool in_turns = turns_ && !AllThere();
  const int most = in_turns ? 1 : static_cast<int>(loaded_.size());
  const int vector = slots_.index[first_];
  while (end_ < slots && slots_.index[end_] < vector + most) ++end_;
  if (first_ > 0) return;
  group_ = std::min(tiles - first_tile_, end_ < slots ? kAccumulators : tiles);
}

std::optional<Product::Stored> Product::Step() {
  const Tile& tile = tiles_[first_tile_ + tile_];
  const char* name = parts_[tile.part].name;
  const bool last = k_ + 1 == slots_.size();
  Load(tile, slots_.slots[k_]);
  const bool last_of_all = last && first_tile_ + tile_ + 1 == static_cast<int>(tiles_.size());
  const int64_t install = Install(name, last_of_all);
  Activate(slots_.index[k_]);
  Feed(tile, k_, install);
  if (++k_ < end_) return std::nullopt;
  k_ = first_;
  if (++tile_ == group_) BeginSegment();
  if (!last) return std::nullopt;
  return Stored{tile.part, tile.tile};
}

// In one piece if that is possible at once; else around what takes single cycles.
void Product::Load(const Tile& tile, int slot) {
  const WeightWords words = matrix(tile).WordsOf(tile.tile, slot);
  const int cycles = matrix(tile).tile_cycles(tile.tile);
  const auto find = [&](int row, int rows) {
    return placer_.Find(Piece(tile, words, row, rows), load_);
  };
  for (int row = 0; row < cycles;) {
    int rows = cycles - row;
    if (find(row, rows) > load_) {
      const int64_t first = find(row, 1);
      while (rows > 1 && find(row, rows) > first) --rows;
    }
    load_ = placer_.Place(Piece(tile, words, row, rows), load_) + rows;
    row += rows;
  }
}

// Rows first.. of a slot's weights.
Block Product::Piece(const Tile& tile, const WeightWords& words, int first, int rows) const {
  Block b(parts_[tile.part].name);
  mxm_.Stream(b, words, first, rows, 0);
  const Matrix& m = matrix(tile);
  for (int done = 0, run = 0; done < rows; done += run) {
    const int row = m.loaded_row(tile.tile, first + done);
    for (run = 1; done + run < rows && m.loaded_row(tile.tile, first + done + run) == row + run;) {
      ++run;
    }
    mxm_.LoadTile(b, run, done, row);
  }
  b.HoldFor(HoldIndex(Hold::kWeightBuffer, m.side), 0, rows - 1);
  return b;
}

int64_t Product::Install(const char* name, bool last) {
  Block b(name);
  mxm_.Install(b, 0);
  // Rows of another format wait until the buffers of both planes are empty.
  b.HoldFor(HoldIndex(Hold::kWeightBuffer, shape().side), 0, last && mxm_.arrays() > 1 ? 0 : -1);
  b.HoldFor(HoldIndex(Hold::kArray, shape().side), 0, 0);
  const int64_t at = placer_.Place(b, mxm_.InstallAt(load_ - 1));
  load_ = std::max(load_, at);
  return at;
}

void Product::HoldEntry(Block& b, int entry, int64_t at) const {
  const bool pairs = shape().format == NumberFormat::kFp16;
  for (int v = 0; v < (pairs ? 2 : 1); ++v) {
    b.HoldFor(ActivationHold(shape().side, pairs ? 2 * entry + v : entry), at, at);
  }
}

// Brings the index-th vector of x, in order, into the activation buffer.
Block Product::Activation(int index) const {
  const int entry = index % static_cast<int>(loaded_.size());
  Block b(parts_.front().name);
  mxm_.Activate(b, x_ + slots_.vectors[index], entry, 1, 0);
  HoldEntry(b, entry, 0);
  return b;
}

void Product::Activate(int index) {
  int& loaded = loaded_[index % static_cast<int>(loaded_.size())];
  if (loaded == index) return;
  placer_.Place(Activation(index));
  loaded = index;
}

// The k-th slot of a tile.
void Product::Feed(const Tile& tile, int k, int64_t install) {
  const int entry = slots_.index[k] % static_cast<int>(loaded_.size());
  const bool last = k + 1 == slots_.size();
  const int accumulator = tile_ % kAccumulators;
  const int fed =
      shape().format == NumberFormat::kFp16 ? 2 * entry + slots_.Half(shape(), k) : entry;
  const int64_t take = mxm_.ResultAt(0);
  Block b(parts_[tile.part].name);
  for (int p = 0; p < mxm_.arrays(); ++p) {
    const int out = mxm_.OutStream(4 * p);
    b.At(MxmQueue(mxm_.plane() + p, kMxmAbc), ops::AbcFeed(mxm_.type(), fed, shape().slot_stride), 0);
    b.At(MxmQueue(mxm_.plane() + p, kMxmAcc),
         ops::Acc(mxm_.type(), accumulator, 0, k > 0, last ? out : kNoStream), take);
    if (last) mxm_.StoreResult(b, out, parts_[tile.part].y[p] + tile.tile, take);
  }
  b.HoldFor(HoldIndex(Hold::kArray, shape().side), 0, 0);
  b.HoldFor(HoldIndex(Hold::kAccumulators, shape().side), take, take);
  HoldEntry(b, entry, 0);
  placer_.Place(b, mxm_.FeedAt(install));
}

void PlaceTogether(std::vector<Product>& products,
                   const std::function<void(size_t, int, int)>& stored) {
  for (;;) {
    Product* chosen = nullptr;
    for (Product& p : products) {
      if (!p.done() && (chosen == nullptr || p.next() < chosen->next())) chosen = &p;
    }
    if (chosen == nullptr) return;
    const std::optional<Product::Stored> now = chosen->Step();
    if (now) stored(static_cast<size_t>(chosen - products.data()), now->part, now->tile);
  }
}

}  // namespace lockstep
