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

// Of the largest of each lane, in scratch: the scale, and its inverse into scratch.
void Int8Kernels::Scale(Quad scratch, const std::array<Quad, 2>& scale) {
  Kernels{timing, placer}.LaneMax(scratch, scratch + 1, 1);
  Chain c(timing, "quantise scale", 1);
  const Chain::Value m = c.Load(scratch + 1);
  for (Quad to : scale) c.Store(c.OpImm(Opcode::kMul, m, 1.0f / kLargest), to);
  const Chain::Value root = c.Unary(Opcode::kRsqrt, c.OpImm(Opcode::kAdd, m, kTiny));
  const Chain::Value inverse = c.Op(Opcode::kMul, root, root);
  c.Store(c.OpImm(Opcode::kMul, inverse, kLargest), scratch);
  placer.Place(c.Build());
}

void Int8Kernels::Quantise(Pair x, int words, Quad scratch, std::array<Single, 2> q,
                           std::array<Quad, 2> scale) {
  {
    Chain c(timing, "quantise maximum", words, AccumulatePeriod(timing, Opcode::kMax));
    const Chain::Value largest = c.Accumulate(Opcode::kMax, c.Unary(Opcode::kAbs, c.Load16(x)));
    c.Store(c.To32(largest), scratch);
    placer.Place(c.Build());
  }
  Scale(scratch, scale);
  Chain c(timing, "quantise", words);
  const Chain::Value scaled = c.Op(Opcode::kMul, c.To32(c.Load16(x)), c.Load(scratch, 0));
  for (Single to : q) c.Store8(c.To8(scaled), to);
  placer.Place(c.Build());
}

void Int8Kernels::Quantise(const Scaled& x, std::vector<int> words, Quad scratch,
                           std::array<Single, 2> q, std::array<Quad, 2> scale) {
  Scale(scratch, scale);
  std::sort(words.begin(), words.end());
  for (size_t i = 0, next = 0; i < words.size(); i = next) {
    for (next = i + 1; next < words.size() && words[next] == words[next - 1] + 1;) ++next;
    const int first = words[i];
    Chain c(timing, "quantise", static_cast<int>(next - i));
    const Chain::Value v = c.Op(Opcode::kMul, c.Load(x.x + first), c.Load(x.gain + first));
    const Chain::Value scaled = c.Op(Opcode::kMul, v, c.Load(scratch, 0));
    for (Single to : q) c.Store8(c.To8(scaled), to + first);
    placer.Place(c.Build());
  }
}

void Int8Kernels::Dequantise(const Sums& sums, Quad y) {
  Chain c(timing, "dequantise", 1);
  const Chain::Value sum = c.Op(Opcode::kAdd, c.LoadI32(sums.even), c.LoadI32(sums.odd));
  Chain::Value v = c.Op(Opcode::kMul, c.To32(sum), c.Load(sums.scale));
  if (sums.add) v = c.Op(Opcode::kAdd, v, c.Load(y));
  if (sums.row_scale) v = c.Op(Opcode::kMul, v, c.Load(*sums.row_scale));
  if (sums.by) v = c.Op(Opcode::kMul, v, c.Load(*sums.by));
  c.Store(v, y);
  placer.Place(c.Build());
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
