// Emission of products with several vectors (runtime/kernels/matmul.h).
#include "runtime/kernels/matmul.h"

#include <algorithm>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/tile_loop.h"

namespace lockstep {
namespace {

class MatMul {
 public:
  MatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m, int batch,
         BatchIn x, BatchOut y, const std::vector<int>& order)
      : placer_(placer), mxm_{timing, m.side}, name_(name), m_(m), batch_(batch), x_(x), y_(y),
        slots_(m, order) {}

  void Place() {
    const int most = kActivationPairs / batch_;  // vectors of each position that the buffer holds
    const int all = m_.vectors();
    if (all <= most) return Segment({0, m_.tiles()}, {0, all}, 1);
    const int group = kAccumulators / batch_;
    for (int t = 0; t < m_.tiles(); t += group) {
      const Range tiles{t, std::min(t + group, m_.tiles())};
      for (int v = 0; v < all; v += most) Segment(tiles, {v, std::min(v + most, all)}, group);
    }
  }

 private:
  struct Range {
    int begin, end;
  };

  // Some vectors of x, in order, against some row tiles, which use `group` parts of the accumulators
  // in turn.
  void Segment(Range tiles, Range range, int group) {
    Block b(name_);
    const int vectors = range.end - range.begin;
    const int first_cycles = m_.tile_cycles(tiles.begin);
    const int64_t ready = int64_t{batch_} * vectors;
    for (int e = 0; e < batch_ * vectors; ++e) {
      const int vector = e / vectors * x_.stride + slots_.vectors[range.begin + e % vectors];
      mxm_.Activate(b, x_.at + vector, e, 1, e);
    }
    // The first tile comes before the activations, which take the same streams.
    TileLoop loop(mxm_, b, -first_cycles, ready);
    for (int tile = tiles.begin; tile < tiles.end; ++tile) {
      for (int k = 0; k < slots_.size(); ++k) {
        const int vector = slots_.index[k] - range.begin;
        if (vector < 0 || vector >= vectors) continue;
        const WeightWords words = m_.WordsOf(tile, slots_.slots[k]);
        const int64_t feed = loop.Next(words, m_.tile_cycles(tile), batch_);
        const int entry = 2 * vector + slots_.Half(m_, k);
        b.At(MxmQueue(mxm_.plane(), kMxmAbc), ops::AbcFeed(kTypeF16, entry, 2 * vectors), feed,
             batch_);
        Sum(b, tile, k, (tile - tiles.begin) % group * batch_, mxm_.ResultAt(feed));
      }
    }
    loop.HoldAll(true);
    placer_.Place(b);
  }

  void Sum(Block& b, int tile, int k, int accumulator, int64_t take) {
    const bool last = k == slots_.size() - 1;
    const int out = mxm_.OutStream(0);
    b.At(MxmQueue(mxm_.plane(), kMxmAcc),
         ops::Acc(kTypeF16, accumulator, 1, k > 0, last ? out : kNoStream), take, batch_);
    if (last) mxm_.StoreResult(b, out, y_.at + tile, take, batch_, 1, y_.stride);
  }

  Placer& placer_;
  const TandemPlanes mxm_;
  const char* name_;
  const Matrix& m_;
  const int batch_;
  const BatchIn x_;
  const BatchOut y_;
  const SlotOrder slots_;
};

}  // namespace

void PlaceMatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                 int batch, BatchIn x, BatchOut y, const std::vector<int>& order) {
  LOCKSTEP_CHECK(x.at.side == m.side, "%s: the vectors lie on the other side", name);
  LOCKSTEP_CHECK(m.strips.empty() && m.format == NumberFormat::kFp16,
                 "%s: weights that batches cannot take", name);
  LOCKSTEP_CHECK(batch >= 1 && batch <= kMaxBatch, "%s: %d vectors", name, batch);
  MatMul(placer, timing, name, m, batch, x, y, order).Place();
}

}  // namespace lockstep
