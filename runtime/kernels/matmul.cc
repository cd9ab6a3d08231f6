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
         BatchIn x, BatchOut y)
      : placer_(placer), mxm_{timing, m.side}, name_(name), m_(m), batch_(batch), x_(x), y_(y) {}

  void Place() {
    const int vectors = kActivationPairs / batch_;  // of each position, that the buffer holds
    const int slots = 2 * vectors / m_.slot_stride, group = kAccumulators / batch_;
    if (m_.slots <= slots) return Segment({0, m_.tiles()}, {0, m_.slots}, 1);
    for (int t = 0; t < m_.tiles(); t += group) {
      const Range tiles{t, std::min(t + group, m_.tiles())};
      for (int s = 0; s < m_.slots; s += slots) {
        Segment(tiles, {s, std::min(s + slots, m_.slots)}, group);
      }
    }
  }

 private:
  struct Range {
    int begin, end;
  };

  // Some slots of x against some row tiles, which use `group` parts of the accumulators in turn.
  void Segment(Range tiles, Range slots, int group) {
    Block b(name_);
    const int first = slots.begin * m_.slot_stride / 2;
    const int vectors = CeilDiv(slots.end * m_.slot_stride, 2) - first;
    const int first_cycles = m_.tile_cycles(tiles.begin);
    const int64_t ready = int64_t{batch_} * vectors;
    for (int i = 0; i < batch_; ++i) {
      mxm_.Activate(b, x_.at + (i * x_.stride + first), i * vectors, vectors, int64_t{i} * vectors);
    }
    // The first tile comes before the activations, which take the same streams.
    TileLoop loop(mxm_, b, -first_cycles, ready);
    for (int tile = tiles.begin; tile < tiles.end; ++tile) {
      for (int slot = slots.begin; slot < slots.end; ++slot) {
        const int64_t feed = loop.Next(m_.WordsOf(tile, slot), m_.tile_cycles(tile), batch_);
        const int entry = (slot * m_.slot_stride) - 2 * first;
        b.At(MxmQueue(mxm_.plane(), kMxmAbc), ops::AbcFeed(kTypeF16, entry, 2 * vectors), feed,
             batch_);
        Sum(b, tile, slot, (tile - tiles.begin) % group * batch_, mxm_.ResultAt(feed));
      }
    }
    loop.HoldAll(true);
    placer_.Place(b);
  }

  void Sum(Block& b, int tile, int slot, int accumulator, int64_t take) {
    const bool last = slot == m_.slots - 1;
    const int out = mxm_.OutStream(0);
    b.At(MxmQueue(mxm_.plane(), kMxmAcc),
         ops::Acc(kTypeF16, accumulator, 1, slot > 0, last ? out : kNoStream), take, batch_);
    if (last) mxm_.StoreResult(b, out, y_.at + tile, take, batch_, 1, y_.stride);
  }

  Placer& placer_;
  const TandemPlanes mxm_;
  const char* name_;
  const Matrix& m_;
  const int batch_;
  const BatchIn x_;
  const BatchOut y_;
};

}  // namespace

void PlaceMatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                 int batch, BatchIn x, BatchOut y) {
  LOCKSTEP_CHECK(x.at.side == m.side, "%s: the vectors lie on the other side", name);
  LOCKSTEP_CHECK(m.strips.empty() && m.format == NumberFormat::kFp16,
                 "%s: weights that batches cannot take", name);
  LOCKSTEP_CHECK(batch >= 1 && batch <= kMaxBatch, "%s: %d vectors", name, batch);
  MatMul(placer, timing, name, m, batch, x, y).Place();
}

}  // namespace lockstep
