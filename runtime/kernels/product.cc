// Emission of matrix-vector products (runtime/kernels/product.h).
#include "runtime/kernels/product.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/weight_load.h"

namespace lockstep {
namespace {

// Vectors that the activation buffer holds.
int BufferOf(const Matrix& m) {
  return m.format == NumberFormat::kFp16 ? kActivationPairs : kActivationVectors;
}

}  // namespace

Product::Product(Placer& placer, const ChipTiming& timing, std::vector<ProductPart> parts, Pair x,
                 const Way& way, TakerOf taker)
    : placer_(placer), parts_(std::move(parts)), mxm_{timing, shape().side, shape().format}, x_(x),
      taker_(std::move(taker)), turns_(way.turns), slots_(shape(), way.order), loaded_(BufferOf(shape()), -1) {
  LOCKSTEP_CHECK(x.side == shape().side, "%s: the vector lies on the other side",
                 parts_.front().name);
  LOCKSTEP_CHECK(!taker_ || shape().format == NumberFormat::kInt8, "%s: sums taken of fp16",
                 parts_.front().name);
  for (size_t p = 0; p < parts_.size(); ++p) {
    const Matrix &m = parts_[p].matrix, &first = shape();
    LOCKSTEP_CHECK(m.side == first.side && m.slots == first.slots &&
                       m.slot_stride == first.slot_stride && m.format == first.format,
                   "%s and %s multiply different vectors", parts_[p].name, parts_[0].name);
    for (int t = 0; t < m.tiles(); ++t) tiles_.push_back({static_cast<int>(p), t});
  }
  if (way.inwards && x.side == Hemisphere::kEast) std::reverse(tiles_.begin(), tiles_.end());
  ready_.assign(slots_.vectors.size(), -1);
  CutSlots(way.groups);
  bool broken = false;  // a sum, by what other tiles do
  for (int k = 0; k < slots_.size(); ++k) broken |= cuts_[k].pass == k + 1 && !EndsSum(k);
  open_ = broken ? kAccumulators : static_cast<int>(tiles_.size());
  Choose();
}

void Product::CutSlots(const std::vector<int>& groups) {
  const int vectors = static_cast<int>(slots_.vectors.size());
  const int buffer = static_cast<int>(loaded_.size());
  std::vector<int> sums = groups.empty() ? std::vector<int>{vectors} : groups;
  LOCKSTEP_CHECK(std::accumulate(sums.begin(), sums.end(), 0) == vectors, "groups of %d vectors",
                 vectors);
  // Of each vector: its sum; whether a window ends behind it.
  std::vector<int> sum_of;
  std::vector<bool> last;
  for (size_t sum = 0, held = 0; sum < sums.size(); ++sum) {
    const size_t size = static_cast<size_t>(sums[sum]), room = static_cast<size_t>(buffer);
    if (held > 0 && held + size > room) last.back() = true, held = 0;
    for (size_t i = 0; i < size; ++i, ++held) {
      if (held == room) last.back() = true, held = 0;
      sum_of.push_back(static_cast<int>(sum)), last.push_back(false);
    }
  }
  last.back() = true;
  cuts_.resize(slots_.size());
  for (int k = slots_.size() - 1; k >= 0; --k) {
    const int v = slots_.index[k];
    const bool end = k + 1 == slots_.size() || slots_.index[k + 1] != v;  // of the vector
    const bool window = end && last[v];
    const bool sum = end && (v + 1 == vectors || sum_of[v + 1] != sum_of[v]);
    const bool pass = window || (turns_ && end && (sum || sums.size() == 1));
    cuts_[k] = {sum_of[v], 0, pass ? k + 1 : cuts_[k + 1].pass, window ? k + 1 : cuts_[k + 1].window};
  }
  for (int k = 1; k < slots_.size(); ++k) {
    cuts_[k].begin = cuts_[k].sum > cuts_[k - 1].sum ? k : cuts_[k - 1].begin;
  }
}

// Whether the vectors of a tile's next slots will be there when the weights are.
bool Product::There(const Tile& tile) {
  if (!turns_) return true;
  int64_t at = load_;
  for (int k = tile.next; k < cuts_[tile.next].pass; ++k) {
    int64_t& ready = ready_[slots_.index[k]];
    if (ready < 0) ready = placer_.Find(Activation(slots_.index[k]));
    at += matrix(tile).tile_cycles(tile.tile);
    if (ready > at) return false;
  }
  return true;
}

// The tile that comes next. Where x does not fit into the activation buffer, all tiles that may be
// under way together take what is in there before the next part of x.
void Product::Choose() {
  const int slots = slots_.size(), tiles = static_cast<int>(tiles_.size());
  while (first_tile_ < tiles && tiles_[first_tile_].next == slots) ++first_tile_;
  if (done()) return;
  if (cuts_.front().window == slots || first_tile_ >= group_) {
    group_ = std::min(tiles, first_tile_ + open_);
    window_ = cuts_.front().window;
  }
  int chosen = -1;
  for (int t = first_tile_; t < group_; ++t) {
    if (tiles_[t].next == window_) continue;
    if (chosen < 0 || tiles_[t].next < tiles_[chosen].next) chosen = t;
    if (There(tiles_[t])) {
      chosen = t;
      break;
    }
  }
  if (chosen < 0) {
    window_ = cuts_[window_].window;
    return Choose();
  }
  tile_ = chosen, end_ = cuts_[tiles_[chosen].next].pass;
}

std::optional<Product::Sum> Product::Step() {
  Tile& tile = tiles_[tile_];
  const int k = tile.next;
  const char* name = parts_[tile.part].name;
  const bool last = k + 1 == slots_.size();
  load_ = PlaceWeights(placer_, mxm_, name, matrix(tile), tile.tile, slots_.slots[k], load_);
  if (last) ++finished_;
  const int64_t install = Install(name, done());
  Activate(slots_.index[k]);
  Feed(tile, k, install);
  const Sum made{tile.part, tile.tile, cuts_[k].sum};
  tile.next = k + 1;
  if (tile.next == end_) Choose();
  if (!EndsSum(k)) return std::nullopt;
  return made;
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

// The k-th slot of a tile. Takers have cycles of their own.
void Product::Feed(const Tile& tile, int k, int64_t install) {
  const int entry = slots_.index[k] % static_cast<int>(loaded_.size());
  const bool last = EndsSum(k), taken = last && taker_;
  const int accumulator = tile_ % kAccumulators;
  const int fed =
      shape().format == NumberFormat::kFp16 ? 2 * entry + slots_.Half(shape(), k) : entry;
  std::array<int, 2> out{mxm_.OutStream(0), mxm_.OutStream(4)};
  int64_t at = 0;
  Block b(parts_[tile.part].name);
  if (taken) {
    Taker taker = taker_({tile.part, tile.tile, cuts_[k].sum});
    b = std::move(taker.block), out = taker.streams;
    at = taker.at - Hops(mxm_.position(), kVxm) - mxm_.d(Opcode::kAcc) - mxm_.ResultAt(0);
  }
  const int64_t take = mxm_.ResultAt(at);
  for (int p = 0; p < mxm_.arrays(); ++p) {
    b.At(MxmQueue(mxm_.plane() + p, kMxmAbc), ops::AbcFeed(mxm_.type(), fed, shape().slot_stride), at);
    b.At(MxmQueue(mxm_.plane() + p, kMxmAcc),
         ops::Acc(mxm_.type(), accumulator, 0, k > cuts_[k].begin, last ? out[p] : kNoStream), take);
    if (last && !taken) mxm_.StoreResult(b, out[p], parts_[tile.part].y[p] + tile.tile, take);
  }
  b.HoldFor(HoldIndex(Hold::kArray, shape().side), at, at);
  b.HoldFor(HoldIndex(Hold::kAccumulators, shape().side), take, take);
  HoldEntry(b, entry, at);
  placer_.Place(b, mxm_.FeedAt(install) - at);
}

void PlaceTogether(std::vector<Product>& products,
                   const std::function<void(size_t, const Product::Sum&)>& made) {
  for (;;) {
    Product* chosen = nullptr;
    for (Product& p : products) {
      if (!p.done() && (chosen == nullptr || p.next() < chosen->next())) chosen = &p;
    }
    if (chosen == nullptr) return;
    const std::optional<Product::Sum> now = chosen->Step();
    if (now) made(static_cast<size_t>(chosen - products.data()), *now);
  }
}

}  // namespace lockstep
