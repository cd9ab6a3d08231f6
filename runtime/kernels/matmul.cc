// Emission of products with several vectors (runtime/kernels/matmul.h).
#include "runtime/kernels/matmul.h"

#include <algorithm>
#include <numeric>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/weight_load.h"

namespace lockstep {
namespace {

class MatMul {
 public:
  // y: of fp16; sums: of int8.
  MatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m, int batch,
         BatchIn x, BatchOut y, BatchSums sums, const std::vector<int>& order,
         const std::vector<int>& groups, const OnBatchStored& stored)
      : placer_(placer),
        mxm_{timing, m.side, m.format},
        name_(name),
        m_(m),
        batch_(batch),
        x_(x),
        y_(y),
        to_(sums),
        stored_(stored),
        slots_(m, order),
        held_((Int8() ? kActivationVectors : kActivationPairs) / batch, -1) {
    sums_ = groups.empty() ? std::vector<int>{m.vectors()} : groups;
    LOCKSTEP_CHECK(std::accumulate(sums_.begin(), sums_.end(), 0) == m.vectors(),
                   "%s: groups of %d vectors", name, m.vectors());
  }

  void Place() {
    const std::vector<Step> steps = Steps();
    int part = Activate(steps.front().vector, 0);
    for (size_t s = 0; s < steps.size(); ++s) {
      part = Take(steps[s], part, s + 1 < steps.size() ? steps[s + 1].vector : -1);
    }
  }

 private:
  // Row tiles that take one vector of x of every position; its index in order. Of their sum `sum` it is
  // the first, the last.
  struct Step {
    int begin, end, vector, sum;
    bool begins, ends;
  };

  bool Int8() const { return m_.format == NumberFormat::kInt8; }

  std::vector<Step> Steps() const {
    std::vector<Step> steps;
    bool back = false;
    for (size_t sum = 0, first = 0; sum < sums_.size(); first += sums_[sum++]) {
      const int all = sums_[sum], from = static_cast<int>(first);
      // Tiles that share the accumulators; one after the other if the buffer holds all of x.
      const int group = all <= static_cast<int>(held_.size()) ? 1 : kAccumulators / batch_;
      for (int t = 0; t < m_.tiles(); t += group, back = Int8() && !back) {
        for (int i = 0; i < all; ++i) {
          const int vector = from + (back ? all - 1 - i : i);
          steps.push_back({t, std::min(t + group, m_.tiles()), vector, static_cast<int>(sum), i == 0,
                           i + 1 == all});
        }
      }
    }
    return steps;
  }

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
        const bool all = tile + 1 == step.end && k + 1 == end;  // of the step
        load_ = PlaceWeights(placer_, mxm_, name_, m_, tile, slots_.slots[k], load_);
        const int64_t install = Install(all && next < 0);
        if (all && next >= 0) {
          next_part = Activate(next, (part + 1) % static_cast<int>(held_.size()));
        }
        Feed(tile, slots_.Half(m_, k), (tile - step.begin) * batch_, part, install,
             {step.sum, step.begins && k == begin, step.ends && k + 1 == end});
      }
    }
    return next_part;
  }

  int64_t Install(bool last) {
    Block b(name_);
    mxm_.Install(b, 0);
    // Rows of another format wait until the buffers of both planes are empty.
    b.HoldFor(HoldIndex(Hold::kWeightBuffer, m_.side), 0, last && Int8() ? 0 : -1);
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
    const int vectors = Int8() ? 1 : 2;  // an entry
    for (int i = 0; i < batch_ * vectors; ++i) {
      const int64_t at = i / vectors;
      b.HoldFor(ActivationHold(m_.side, part * batch_ * vectors + i), at, at);
    }
  }

  // Where a feed stands in the sum.
  struct PlaceInSum {
    int sum;
    bool first, last;
  };
  // A slot of a tile, half `half` of its vectors in fp16, meets all positions.
  void Feed(int tile, int half, int accumulator, int part, int64_t install, PlaceInSum at) {
    const int vectors = Int8() ? 1 : 2, entry = vectors * part * batch_ + half;
    const int64_t take = mxm_.ResultAt(0);
    const BatchSums sums = to_ + made_ % kBatchSums * batch_;
    Block b(name_);
    for (int p = 0; p < mxm_.arrays(); ++p) {
      const int out = mxm_.OutStream(4 * p), plane = mxm_.plane() + p;
      b.At(MxmQueue(plane, kMxmAbc), ops::AbcFeed(mxm_.type(), entry, vectors), 0, batch_);
      b.At(MxmQueue(plane, kMxmAcc),
           ops::Acc(mxm_.type(), accumulator, 1, !at.first, at.last ? out : kNoStream), take,
           batch_);
      if (!at.last) continue;
      const Quad y = !Int8() ? y_.at + tile : p == 0 ? sums.even : sums.odd;
      mxm_.StoreResult(b, out, y, take, batch_, 1, Int8() ? 1 : y_.stride);
    }
    b.HoldFor(HoldIndex(Hold::kArray, m_.side), 0, batch_ - 1);
    b.HoldFor(HoldIndex(Hold::kAccumulators, m_.side), take, take + batch_ - 1);
    HoldPart(b, part);
    placer_.Place(b, mxm_.FeedAt(install));
    if (!Int8() || !at.last) return;
    ++made_;
    stored_(tile, at.sum, sums);
  }

  Placer& placer_;
  const TandemPlanes mxm_;
  const char* name_;
  const Matrix& m_;
  const int batch_;
  const BatchIn x_;
  const BatchOut y_;
  const BatchSums to_;
  const OnBatchStored stored_;
  const SlotOrder slots_;
  std::vector<int> held_;  // by part of the activation buffer: the vector, in order, or none
  std::vector<int> sums_;  // vectors of each, in order
  int made_ = 0;           // sums, of row tiles
  int64_t load_ = 0;
};

void CheckBatch(const char* name, const Matrix& m, NumberFormat format, int batch,
                const BatchIn& x) {
  LOCKSTEP_CHECK(x.at.side == m.side, "%s: the vectors lie on the other side", name);
  LOCKSTEP_CHECK(m.format == format, "%s: weights in %s", name, NumberFormatName(format));
  LOCKSTEP_CHECK(batch >= 1 && batch <= kMaxBatch, "%s: %d vectors", name, batch);
}

}  // namespace

void PlaceMatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                 int batch, BatchIn x, BatchOut y, const std::vector<int>& order) {
  CheckBatch(name, m, NumberFormat::kFp16, batch, x);
  const BatchSums none{y.at, y.at};
  MatMul(placer, timing, name, m, batch, x, y, none, order, {}, nullptr).Place();
}

void PlaceInt8MatMul(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                     int batch, BatchIn x, const BatchSums& sums, const std::vector<int>& order,
                     const std::vector<int>& groups, const OnBatchStored& stored) {
  CheckBatch(name, m, NumberFormat::kInt8, batch, x);
  MatMul(placer, timing, name, m, batch, x, {sums.even, 1}, sums, order, groups, stored).Place();
}

}  // namespace lockstep
