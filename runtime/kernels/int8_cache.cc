// Quantisation of keys and values, and the places of their scales (runtime/kernels/int8_cache.h).
#include "runtime/kernels/int8_cache.h"

#include <bit>

namespace lockstep {
namespace {
constexpr float kLargest = 127.0f, kTiny = 1e-30f;
constexpr int kShiftedBatch = 12;  // a slice is read twice, at different distances
}  // namespace

void Int8Cache::Mask(Quad iota, Quad position, const Masks& masks) {
  const int tiles = shape.key_tiles();
  {
    Chain c(timing, "cache lanes", tiles);
    const Chain::Value lane = c.Load(iota), first = c.Load(position, 0);
    const Chain::Value last = c.OpImm(Opcode::kAdd, first, static_cast<float>(batch - 1));
    const Chain::Value before = c.Op(Opcode::kCmpGt, first, lane);
    c.Store(c.Op(Opcode::kOr, before, c.Op(Opcode::kCmpGt, lane, last)), masks.elsewhere);
    placer.Place(c.Build());
  }
  for (int i = 0; batch > 1 && i < batch; ++i) {
    // -1 where tile and lane are those of the position, else 0; summed over tiles.
    Chain c(timing, "cache lanes", tiles, AccumulatePeriod(timing, Opcode::kAdd));
    const Chain::Value lane = c.Load(iota), at = c.Load(position + i, 0);
    const Chain::Value other =
        c.Op(Opcode::kOr, c.Op(Opcode::kCmpGt, lane, at), c.Op(Opcode::kCmpGt, at, lane));
    const Chain::Value one = c.OpBits(Opcode::kAnd, other, std::bit_cast<uint32_t>(1.0f));
    c.Store(c.Accumulate(Opcode::kAdd, c.OpImm(Opcode::kSub, one, 1.0f)), masks.lanes + i);
    placer.Place(c.Build());
  }
}

void Int8Cache::Scales(Pair x, int vectors, float unit, const Scratch& at) {
  // One chain over all heads, or one over the vectors of each.
  const int chains = vectors == 1 ? 1 : count(), inner = vectors == 1 ? count() : vectors;
  for (int i = 0; i < chains; ++i) {
    Chain c(timing, "quantise maximum", inner,
            vectors == 1 ? 1 : AccumulatePeriod(timing, Opcode::kMax));
    const Chain::Value size = c.To32(c.Unary(Opcode::kAbs, c.Load16(x + i * inner)));
    c.Store(vectors == 1 ? size : c.Accumulate(Opcode::kMax, size), at.maxima + i);
    placer.Place(c.Build());
  }
  const Quad largest = at.maxima + count();
  Kernels{timing, placer}.LaneMax(at.maxima, largest, count());
  Chain c(timing, "quantise scale", count());
  const Chain::Value m = c.Load(largest);
  c.Store(c.OpImm(Opcode::kMul, m, unit), at.scale);
  const Chain::Value root = c.Unary(Opcode::kRsqrt, c.OpImm(Opcode::kAdd, m, kTiny));
  c.Store(c.OpImm(Opcode::kMul, c.Op(Opcode::kMul, root, root), kLargest), at.inverse);
  placer.Place(c.Build());
}

void Int8Cache::QuantiseKeys(Pair k, const Scratch& at, Single bytes) {
  const int slots = shape.key_slots();
  Scales(k, slots, 1.0f / kLargest, at);
  const int chains = slots == 1 ? 1 : count(), inner = slots == 1 ? count() : slots;
  for (int i = 0; i < chains; ++i) {
    Chain c(timing, "quantise key", inner);
    const Chain::Value x = c.To32(c.Load16(k + i * inner));
    const Chain::Value inverse = c.Load(at.inverse + i, slots == 1 ? 1 : 0);
    c.Store8(c.To8(c.Op(Opcode::kMul, x, inverse)), bytes + i * inner);
    placer.Place(c.Build());
  }
}

void Int8Cache::QuantiseValues(Pair v, const Scratch& at, Pair integers) {
  const int groups = shape.value_groups();
  Scales(v, groups, 1.0f, at);
  const int chains = groups == 1 ? 1 : count(), inner = groups == 1 ? count() : groups;
  for (int i = 0; i < chains; ++i) {
    for (int first = 0; first < inner; first += kShiftedBatch) {
      Chain c(timing, "quantise value", std::min(kShiftedBatch, inner - first));
      const Pair from = v + (i * inner + first);
      const Chain::Value both =
          c.Op(Opcode::kOr, c.Load16(from), c.LoadShifted16(from, kHalfLanes));
      const Chain::Value inverse =
          groups == 1 ? c.Load(at.inverse + first) : c.Load(at.inverse + i, 0);
      const Chain::Value q = c.To8(c.Op(Opcode::kMul, c.To32(both), inverse));
      c.Store16(c.To16(q), integers + (i * inner + first));
      placer.Place(c.Build());
    }
  }
}

void Int8Cache::KeepScales(const Scratch& at, int head, const Masks& masks, Quad kept) {
  const Quad scale = at.scale + head;
  if (batch > 1) {
    // Each in its own lane; scales are not negative.
    Chain c(timing, "join scales", batch, AccumulatePeriod(timing, Opcode::kMax));
    const Chain::Value own = c.Op(Opcode::kMask, c.Load(scale, heads), c.Load(masks.lanes));
    c.Store(c.Accumulate(Opcode::kMax, own), scale);
    placer.Place(c.Build());
  }
  const int tiles = shape.key_tiles(), most = InPlace(timing, Opcode::kMask, kept);
  for (int first = 0; first < tiles; first += most) {
    Chain c(timing, "keep scales", std::min(most, tiles - first));
    const Chain::Value elsewhere = c.Load(masks.elsewhere + first), fresh = c.Load(scale, 0);
    const Chain::Value old = c.Op(Opcode::kMask, c.Load(kept + first), elsewhere);
    // The new one where it belongs: what is left of it when the rest is taken off.
    const Chain::Value here = c.Op(Opcode::kSub, fresh, c.Op(Opcode::kMask, fresh, elsewhere));
    c.Store(c.Op(Opcode::kAdd, old, here), kept + first);
    placer.Place(c.Build());
  }
}

}  // namespace lockstep
