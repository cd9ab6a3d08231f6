// Quantisation, scaling and packing of int8 products (runtime/kernels/int8_kernels.h).
#include "runtime/kernels/int8_kernels.h"

#include <algorithm>

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

void Int8Kernels::Quantise(Pair x, int words, Quad scratch, std::array<Single, 2> q,
                           std::array<Quad, 2> scale, const Int8Batch& batch) {
  Largest(x, words, scratch, batch);
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

void Int8Kernels::Dequantise(const Sums& sums, Quad y) {
  const int apart = sums.batch.x, positions = sums.batch.positions;
  const int most = sums.add ? InPlace(timing, Opcode::kAdd, y) : positions;
  for (int i = 0; i < positions; i += most) {
    const int first = i * apart;
    Chain c(timing, "dequantise", std::min(most, positions - i));
    const Chain::Value sum =
        c.Op(Opcode::kAdd, c.LoadI32(sums.even + i), c.LoadI32(sums.odd + i));
    Chain::Value v =
        c.Op(Opcode::kMul, c.To32(sum), c.Load(sums.scale + i * sums.batch.scale, sums.batch.scale));
    if (sums.add) v = c.Op(Opcode::kAdd, v, c.Load(y + first, apart));
    if (sums.row_scale) v = c.Op(Opcode::kMul, v, c.Load(*sums.row_scale, positions == 1 ? 1 : 0));
    if (sums.by) v = c.Op(Opcode::kMul, v, c.Load(*sums.by + i));
    c.Store(v, y + first, apart);
    placer.Place(c.Build());
  }
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
