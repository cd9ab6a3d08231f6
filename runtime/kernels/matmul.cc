// Emission of products with several vectors (runtime/kernels/matmul.h).
#include "runtime/kernels/matmul.h"

#include <algorithm>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/weight_load.h"

namespace lockstep {
namespace {

class MatMul {
 public:
  MatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m, int batch,
         BatchIn x, BatchOut y, const std::vector<int>& order)
      : placer_(placer),
        mxm_{timing, m.side},
        name_(name),
        m_(m),
        batch_(batch),
        x_(x),
        y_(y),
        slots_(m, order),
        held_(kActivationPairs / batch, -1) {}

  void Place() {
    const int all = m_.vectors();
    // Tiles that share the accumulators; one after the other if the buffer holds all of x.
    const int group = all <= static_cast<int>(held_.size()) ? 1 : kAccumulators / batch_;
    std::vector<Step> steps;
    for (int t = 0; t < m_.tiles(); t += group) {
      for (int v = 0; v < all; ++v) steps.push_back({t, std::min(t + group, m_.tiles()), v});
    }
    int part = Activate(steps.front().vector, 0);
    for (size_t s = 0; s < steps.size(); ++s) {
      part = Take(steps[s], part, s + 1 < steps.size() ? steps[s + 1].vector : -1);
    }
  }

 private:
  // Row tiles that take one vector of x of every position; its index in order.
  struct Step {
    int begin, end, vector;
  };

  // Places a step, whose vectors are in part `part` of the buffer, and before its last feeds the
  // activation of the next one's, which so comes while the array is busy. Returns that one's part.
  int Take(const Step& step, int part, int next) {
    const auto [first, last] =
        std::equal_range(slots_.index.begin(), slots_.index.end(), step.vector);
    const int begin = static_cast<int>(first - slots_.index.begin());
    const int end = static_cast<int>(last - slots_.index.begin());
    int next_part = -1;
    for (int tile = step.begin; tile < step.end; ++tile) {
      for (int k = begin; k < end; ++k) {
        load_ = PlaceWeights(placer_, mxm_, name_, m_, tile, slots_.slots[k], load_);
        const int64_t install = Install();
        if (next >= 0 && tile + 1 == step.end && k + 1 == end) {
          next_part = Activate(next, (part + 1) % static_cast<int>(held_.size()));
        }
        Feed(tile, k, (tile - step.begin) * batch_, part, install);
      }
    }
    return next_part;
  }

  int64_t Install() {
    Block b(name_);
    mxm_.Install(b, 0);
    b.HoldFor(HoldIndex(Hold::kWeightBuffer, m_.side), 0, -1);
    b.HoldFor(HoldIndex(Hold::kArray, m_.side), 0, 0);
    const int64_t at = placer_.Place(b, mxm_.InstallAt(load_ - 1));
    load_ = std::max(load_, at);
    return at;
  }

  // The vector of every position into that part of the buffer, unless some part holds it. Returns
  // which.
  int Activate(int vector, int part) {
    const auto found = std::find(held_.begin(), held_.end(), vector);
    if (found != held_.end()) return static_cast<int>(found - held_.begin());
    held_[part] = vector;
    Block b(name_);
    mxm_.Activate(b, x_.at + slots_.vectors[vector], part * batch_, batch_, 0, x_.stride);
    HoldPart(b, part);
    placer_.Place(b);
    return part;
  }
  // Entry i of the part in cycle i.
  void HoldPart(Block& b, int part) const {
    for (int i = 0; i < batch_; ++i) {
      const int pair = part * batch_ + i;
      b.HoldFor(ActivationHold(m_.side, 2 * pair), i, i);
      b.HoldFor(ActivationHold(m_.side, 2 * pair + 1), i, i);
    }
  }

  // The k-th slot of a tile meets all positions.
  void Feed(int tile, int k, int accumulator, int part, int64_t install) {
    const bool last = k + 1 == slots_.size();
    const int out = mxm_.OutStream(0), entry = 2 * part * batch_ + slots_.Half(m_, k);
    const int64_t take = mxm_.ResultAt(0);
    Block b(name_);
    b.At(MxmQueue(mxm_.plane(), kMxmAbc), ops::AbcFeed(kTypeF16, entry, 2), 0, batch_);
    b.At(MxmQueue(mxm_.plane(), kMxmAcc),
         ops::Acc(kTypeF16, accumulator, 1, k > 0, last ? out : kNoStream), take, batch_);
    if (last) mxm_.StoreResult(b, out, y_.at + tile, take, batch_, 1, y_.stride);
    b.HoldFor(HoldIndex(Hold::kArray, m_.side), 0, batch_ - 1);
    b.HoldFor(HoldIndex(Hold::kAccumulators, m_.side), take, take + batch_ - 1);
    HoldPart(b, part);
    placer_.Place(b, mxm_.FeedAt(install));
  }

  Placer& placer_;
  const TandemPlanes mxm_;
  const char* name_;
  const Matrix& m_;
  const int batch_;
  const BatchIn x_;
  const BatchOut y_;
  const SlotOrder slots_;
  std::vector<int> held_;  // by part of the activation buffer: the vector, in order, or none
  int64_t load_ = 0;
};

}  // namespace

void PlaceMatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                 int batch, BatchIn x, BatchOut y, const std::vector<int>& order) {
  LOCKSTEP_CHECK(x.at.side == m.side, "%s: the vectors lie on the other side", name);
  LOCKSTEP_CHECK(m.format == NumberFormat::kFp16, "%s: weights that batches cannot take", name);
  LOCKSTEP_CHECK(batch >= 1 && batch <= kMaxBatch, "%s: %d vectors", name, batch);
  MatMul(placer, timing, name, m, batch, x, y, order).Place();
}

}  // namespace lockstep
