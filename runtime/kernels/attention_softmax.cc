// The softmax of attention (runtime/kernels/attention.h). A value is appended beside it, so it takes the first
// ALUs and streams.
#include "runtime/kernels/attention.h"

#include <algorithm>

#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {
namespace {
constexpr int kMostPasses = 6;
}  // namespace

// Of the queries of a position over all tiles, whose scores come to the VXM in cycles at.. on the
// streams that bring them inwards: their maxima go round through ALUs that pass them on, for as
// long as it takes until the scores of the next tile come, and meet those.
//
//   add    t0 q0 q1 .. | t1 q0 q1 .. | ..          score + bias
//   start     q0 q1 ..                             of the first tile
//   max                     q0 q1 .. | ..          with what comes back
//   pass         q0 q1 ..       q0 q1 ..           as often as it takes
bool Attention::KeepLargest(Block& b, const std::vector<int64_t>& at, int queries,
                            const MaskedLargest& to) const {
  const auto d = [&](Opcode op) { return timing.d_func[static_cast<int>(op)]; };
  const int tiles = static_cast<int>(at.size());
  const int64_t round = tiles == 1 ? d(Opcode::kMax) : at[1] - at[0];
  for (int tile = 1; tile < tiles; ++tile) {
    if (at[tile] - at[tile - 1] != round) return false;
  }
  const int passes = static_cast<int>(round - d(Opcode::kMax)) / d(Opcode::kOr);
  const bool exact = round == d(Opcode::kMax) + passes * d(Opcode::kOr);
  const Hemisphere far = Other(side);
  if (!exact || passes > kMostPasses || to.bias.side != far || to.maxima.side != far) return false;
  const Direction out = Outward(far), in = Inward(far);
  const int score = StreamNumber(out, 0), masked = StreamNumber(out, 4),
            largest = StreamNumber(out, 8);
  const auto passed = [&](int j) { return j == 0 ? largest : StreamNumber(in, 4 * j); };
  for (int tile = 0; tile < tiles; ++tile) {
    AccessColumn(b, to.bias, ops::Read(to.bias.address + tile, 0, StreamNumber(in, 0)),
                 at[tile] - d(Opcode::kRead), -1, queries);
    b.At(VxmQueue(0), ops::Binary(Opcode::kAdd, kTypeF32, score, StreamNumber(in, 0), masked),
         at[tile], queries);
    const int64_t compare = at[tile] + d(Opcode::kAdd);
    if (tile == 0) {
      b.At(VxmQueue(1), ops::BinaryImm(Opcode::kOr, kTypeF32, masked, 0, largest), compare, queries);
    } else {
      b.At(VxmQueue(2), ops::Binary(Opcode::kMax, kTypeF32, masked, passed(passes), largest),
           compare, queries);
    }
    for (int j = 0; j < passes && tile + 1 < tiles; ++j) {
      b.At(VxmQueue(3 + j), ops::BinaryImm(Opcode::kOr, kTypeF32, passed(j), 0, passed(j + 1)),
           compare + d(Opcode::kMax) + j * d(Opcode::kOr), queries);
    }
  }
  AccessColumn(b, to.maxima, ops::Write(to.maxima.address, 1, largest),
               at.back() + d(Opcode::kAdd) + d(Opcode::kMax), 1, queries);
  return true;
}

// Of queries first.. of one position, bias being the position's; false: cannot be done for so many.
bool Attention::LargestOf(int first, int queries, Quad scores, Quad bias, Quad maxima) {
  const auto d = [&](Opcode op) { return timing.d_func[static_cast<int>(op)]; };
  const int tiles = shape.key_tiles();
  if (tiles == 1 || scores.side != side) return false;
  const int round =
      d(Opcode::kMax) +
      CeilDiv(std::max(0, queries - d(Opcode::kMax)), d(Opcode::kOr)) * d(Opcode::kOr);
  Block b("softmax mask");
  std::vector<int64_t> at;
  for (int tile = 0; tile < tiles; ++tile) {
    at.push_back(int64_t{tile} * round);
    const Quad from = scores + (first * tiles + tile);
    AccessColumn(b, from, ops::Read(from.address, tiles, StreamNumber(Inward(side), 0)),
                 at.back() - d(Opcode::kRead), -1, queries);
  }
  if (!KeepLargest(b, at, queries, {bias, maxima + first})) return false;
  placer.Place(b);
  return true;
}

// The largest of each lane of each query; tile by tile where maxima cannot go round.
void Attention::Largest(Quad scores, Quad bias, Quad maxima, int heads) {
  const int tiles = shape.key_tiles(), most = InPlace(timing, Opcode::kMax, maxima);
  bool rounds = true;
  for (int i = 0; i < batch && rounds; ++i) {
    rounds = LargestOf(i * heads, heads, scores, bias + i * tiles, maxima);
  }
  if (rounds) return;
  for (int tile = 0; tile < tiles; ++tile) {
    for (int first = 0; first < batch * heads;) {
      const int position = first / heads, left = (position + 1) * heads - first;
      const int n = CeilDiv(left, CeilDiv(left, most));
      Chain c(timing, "softmax mask", n);
      const Chain::Value masked = c.Op(Opcode::kAdd, c.Load(scores + (first * tiles + tile), tiles),
                                       c.Load(bias + (position * tiles + tile), 0));
      const Quad to = maxima + first;
      c.Store(tile == 0 ? masked : c.Op(Opcode::kMax, masked, c.Load(to)), to);
      placer.Place(c.Build());
      first += n;
    }
  }
}

void Attention::Softmax(Quad scores, Quad bias, Quad maxima, int heads, Pair p, bool found) {
  const int tiles = shape.key_tiles(), queries = batch * heads;
  // One chain over the heads of a position, or one over the tiles of each query.
  const int inner = tiles == 1 ? heads : tiles, chains = tiles == 1 ? batch : queries;
  const auto bias_of = [&](int chain) {
    return bias + (tiles == 1 ? chain : chain / heads * tiles);
  };
  const int bias_stride = tiles == 1 ? 0 : 1;
  if (!found) Largest(scores, bias, maxima, heads);
  const Quad top = maxima + queries;
  Kernels{timing, placer}.LaneMax(maxima, top, queries);
  for (int i = 0; i < chains; ++i) {
    Chain c(timing, "softmax exp", inner);
    const Chain::Value masked =
        c.Op(Opcode::kAdd, c.Load(scores + i * inner), c.Load(bias_of(i), bias_stride));
    const Chain::Value max = tiles == 1 ? c.Load(top + i * heads) : c.Load(top + i, 0);
    const Chain::Value e = c.Unary(Opcode::kExp, c.Op(Opcode::kSub, masked, max));
    c.Store16(c.To16(e), p + i * inner);
    placer.Place(c.Build());
  }
}

// A chain over the tiles of each query, since it sums over them, too.
void Attention::ScaledSoftmax(Quad scores, Quad bias, const CacheScales& scales, Quad maxima,
                              int heads, Pair p, Quad sums) {
  const int tiles = shape.key_tiles(), queries = batch * heads;
  const auto masked = [&](Chain& c, int i) {
    const Chain::Value s = c.Op(Opcode::kMul, c.Load(scores + i * tiles), c.Load(scales.keys));
    return c.Op(Opcode::kAdd, s, c.Load(bias + i / heads * tiles));
  };
  for (int i = 0; i < queries; ++i) {
    Chain c(timing, "softmax mask", tiles, AccumulatePeriod(timing, Opcode::kMax));
    c.Store(c.Accumulate(Opcode::kMax, masked(c, i)), maxima + i);
    placer.Place(c.Build());
  }
  const Quad top = maxima + queries, partial = maxima + 2 * queries;
  Kernels{timing, placer}.LaneMax(maxima, top, queries);
  for (int i = 0; i < queries; ++i) {
    Chain c(timing, "softmax exp", tiles, AccumulatePeriod(timing, Opcode::kAdd));
    const Chain::Value s = c.Op(Opcode::kSub, masked(c, i), c.Load(top + i, 0));
    const Chain::Value e = c.Unary(Opcode::kExp, s);
    c.Store16(c.To16(c.Op(Opcode::kMul, e, c.Load(scales.values))), p + i * tiles);
    c.Store(c.Accumulate(Opcode::kAdd, e), partial + i);
    placer.Place(c.Build());
  }
  Kernels{timing, placer}.LaneSum(partial, sums, queries);
}

}  // namespace lockstep
