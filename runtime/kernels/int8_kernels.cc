// Quantisation, scaling and packing of int8 products (runtime/kernels/int8_kernels.h).
#include "runtime/kernels/int8_kernels.h"

#include <algorithm>
#include <utility>

#include "runtime/kernels/chain.h"
#include "runtime/kernels/kernels.h"

namespace lockstep {
namespace {
constexpr float kLargest = 127.0f, kTiny = 1e-30f;
constexpr int kPackBatch = 12;  // a slice is read twice, at different distances
}  // namespace

// Of each lane, into scratch.
void Int8Kernels::Largest(Pair x, int words, Quad scratch, const Int8Batch& batch) {
  if (batch.positions == 1) {
    Chain c(timing, "quantise maximum", words, AccumulatePeriod(timing, Opcode::kMax));
    const Chain::Value largest = c.Accumulate(Opcode::kMax, c.Unary(Opcode::kAbs, c.Load16(x)));
    c.Store(c.To32(largest), scratch);
    placer.Place(c.Build());
    return;
  }
  const int most = InPlace(timing, Opcode::kMax, scratch);
  for (int w = 0; w < words; ++w) {
    for (int i = 0; i < batch.positions; i += most) {
      Chain c(timing, "quantise maximum", std::min(most, batch.positions - i));
      const Chain::Value size = c.To32(c.Unary(Opcode::kAbs, c.Load16(x + (i * batch.x + w), batch.x)));
      c.Store(w == 0 ? size : c.Op(Opcode::kMax, size, c.Load(scratch + i)), scratch + i);
      placer.Place(c.Build());
    }
  }
}

// Of the largest of each lane, in scratch: the scale, and its inverse into scratch.
void Int8Kernels::Scale(Quad scratch, const std::array<Quad, 2>& scale, const Int8Batch& batch) {
  const Quad over_lanes = scratch + batch.positions;
  Kernels{timing, placer}.LaneMax(scratch, over_lanes, batch.positions);
  const int most = InPlace(timing, Opcode::kRsqrt, scratch);
  for (int i = 0; i < batch.positions; i += most) {
    Chain c(timing, "quantise scale", std::min(most, batch.positions - i));
    const Chain::Value m = c.Load(over_lanes + i);
    for (Quad to : scale) {
      c.Store(c.OpImm(Opcode::kMul, m, 1.0f / kLargest), to + i * batch.scale, batch.scale);
    }
    const Chain::Value root = c.Unary(Opcode::kRsqrt, c.OpImm(Opcode::kAdd, m, kTiny));
    const Chain::Value inverse = c.Op(Opcode::kMul, root, root);
    c.Store(c.OpImm(Opcode::kMul, inverse, kLargest), scratch + i);
    placer.Place(c.Build());
  }
}

void Int8Kernels::QuantiseBy(Pair x, int words, Quad scratch, std::array<Single, 2> q,
                             std::array<Quad, 2> scale, const Int8Batch& batch) {
  Scale(scratch, scale, batch);
  const bool one = batch.positions == 1;
  for (int w = 0; w < (one ? 1 : words); ++w) {
    const int apart = one ? 1 : batch.x;
    Chain c(timing, "quantise", one ? words : batch.positions);
    const Chain::Value scaled =
        c.Op(Opcode::kMul, c.To32(c.Load16(x + w, apart)), c.Load(scratch, one ? 0 : 1));
    for (Single to : q) c.Store8(c.To8(scaled), to + w, apart);
    placer.Place(c.Build());
  }
}

void Int8Kernels::Quantise(const Scaled& x, std::vector<int> words, Quad scratch,
                           std::array<Single, 2> q, std::array<Quad, 2> scale, const Int8Batch& batch) {
  Scale(scratch, scale, batch);
  std::sort(words.begin(), words.end());
  // Consecutive words of one position, or a word of all.
  const bool one = batch.positions == 1;
  for (size_t i = 0, next = 0; i < words.size(); i = next) {
    for (next = i + 1; one && next < words.size() && words[next] == words[next - 1] + 1;) ++next;
    const int first = words[i], apart = one ? 1 : batch.x;
    Chain c(timing, "quantise", one ? static_cast<int>(next - i) : batch.positions);
    const Chain::Value v =
        c.Op(Opcode::kMul, c.Load(x.x + first, apart), c.Load(x.gain + first, one ? 1 : 0));
    const Chain::Value scaled = c.Op(Opcode::kMul, v, c.Load(scratch, one ? 0 : 1));
    for (Single to : q) c.Store8(c.To8(scaled), to + first, apart);
    placer.Place(c.Build());
  }
}

// Of position `first`, and those of the chain behind it.
Chain::Value Int8Kernels::ScaledSum(Chain& c, Chain::Value sum, const Scaling& scaling, Quad y,
                                 int first, const Int8Batch& batch) const {
  const Quad scale = scaling.scale + first * batch.scale;
  Chain::Value v = c.Op(Opcode::kMul, c.To32(sum), c.Load(scale, batch.scale));
  if (scaling.add) v = c.Op(Opcode::kAdd, v, c.Load(y + first * batch.x, batch.x));
  const int apart = batch.positions == 1 ? 1 : 0;
  if (scaling.row_scale) v = c.Op(Opcode::kMul, v, c.Load(*scaling.row_scale, apart));
  if (scaling.by) v = c.Op(Opcode::kMul, v, c.Load(*scaling.by + first));
  return v;
}

void Int8Kernels::Dequantise(const Sums& sums, Quad y) {
  const Int8Batch& batch = sums.batch;
  const int most = sums.scaling.add ? InPlace(timing, Opcode::kAdd, y) : batch.positions;
  for (int i = 0; i < batch.positions; i += most) {
    Chain c(timing, "dequantise", std::min(most, batch.positions - i));
    const Chain::Value sum =
        c.Op(Opcode::kAdd, c.LoadI32(sums.even + i), c.LoadI32(sums.odd + i));
    c.Store(ScaledSum(c, sum, sums.scaling, y, i, batch), y + i * batch.x, batch.x);
    placer.Place(c.Build());
  }
}

Product::Taker Int8Kernels::Take(const char* name, Hemisphere side, const Scaling& scaling,
                                 Quad y) const {
  Chain c(timing, name, 1);
  const std::array planes{c.Inbound(side, kTypeI32), c.Inbound(side, kTypeI32)};
  c.Store(ScaledSum(c, c.Op(Opcode::kAdd, planes[0], planes[1]), scaling, y, 0, {}), y);
  Block block = c.Build();
  return {std::move(block), {c.StreamOf(planes[0]), c.StreamOf(planes[1])}, c.TimeOf(planes[0])};
}

void Int8Kernels::PackHalves(Pair x, int halves, Pair y) {
  const int pairs = halves / 2;
  for (int i = 0; i < pairs; i += kPackBatch) {
    Chain c(timing, "pack halves", std::min(kPackBatch, pairs - i));
    const Chain::Value low = c.Load16(x + 2 * i, 2);
    const Chain::Value high = c.LoadShifted16(x + 2 * i + 1, kHalfLanes, 2);
    c.Store16(c.Op(Opcode::kOr, low, high), y + i);
    placer.Place(c.Build());
  }
  if (halves % 2 == 0) return;
  Chain c(timing, "pack halves", 1);
  c.Store16(c.OpBits(Opcode::kOr, c.Load16(x + (halves - 1)), 0), y + pairs);
  placer.Place(c.Build());
}

}  // namespace lockstep
