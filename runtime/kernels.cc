// Norms, elementwise kernels, gathers and lane reductions (runtime/kernels.h).
#include "runtime/kernels.h"

#include <algorithm>
#include <bit>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {
namespace {

// Vectors a tree step can have under way before its streams meet those of the next step.
constexpr int kTreeBatch = 24;
// Vectors a chain may take when it reads one slice twice, at different distances.
constexpr int kShiftedBatch = 12;

// A reduction over lanes: values go out to the SXM and come back, one step after the other.
class LaneTree {
 public:
  LaneTree(const ChipTiming& timing, Opcode op, int words, const char* name)
      : timing_(timing), op_(op), words_(words), block_(name) {}

  // Loads src; the first step begins when its vectors stand at the VXM.
  void Begin(Quad src) {
    const int in = StreamNumber(Inward(src.side), 4 * kLoadQuad);
    for (int k = 0; k < 4; ++k) {
      const int slice = ColumnSlice(src.side, src.column, k);
      block_.At(MemQueue(slice), ops::Read(src.address, 1, in + k),
                -Hops(SlicePosition(slice), kVxm) - d(Opcode::kRead), words_);
    }
    Pass(in, Out(), 0, kPassAlu);
    now_ = d(Opcode::kOr);
  }
  // v = op(v, v moved n lanes around).
  void Step(int n) {
    const int64_t back = RoundTrip(now_, Out(), n, Hemisphere::kEast);
    Combine(ops::West(4 * kMovedQuad), ops::West(4 * kStillQuad), Out(), back, kTreeAlu);
    now_ = back + d(op_);
  }
  // Keeps v moved n lanes for the Join two steps on: it circles through the western SXM.
  void Keep(int n) {
    const int out = ops::West(4 * kKeptQuad), in = ops::East(4 * kKeptBackQuad);
    Combine(ops::West(4 * kMovedQuad), ops::West(4 * kStillQuad), out, now_ - d(op_), kKeepAlu);
    int64_t t = Circle(now_, out, n, in);
    Pass(in, out, t, kKeepAlu + 1);
    t = Circle(t + d(Opcode::kOr), out, 0, in);
    Pass(in, ops::East(4 * kJoinQuad), t, kKeepAlu + 2);
    joined_at_ = t + d(Opcode::kOr);
  }
  void Join() {
    LOCKSTEP_CHECK(joined_at_ == now_, "kept lanes come at %d, wanted at %d", joined_at_, now_);
    Combine(Out(), ops::East(4 * kJoinQuad), ops::East(4 * kFinalQuad), now_, kJoinAlu);
    final_ = ops::East(4 * kFinalQuad);
    now_ += d(op_);
  }
  Block& End(Quad dst) {
    int stream = final_;
    int64_t at = now_;
    if (dst.side == Hemisphere::kWest) {
      stream = ops::West(4 * kFinalQuad);
      Pass(final_, stream, now_, kEndAlu);
      at += d(Opcode::kOr);
    }
    for (int k = 0; k < 4; ++k) {
      const int slice = ColumnSlice(dst.side, dst.column, k);
      block_.At(MemQueue(slice), ops::Write(dst.address, 1, stream + k),
                at + Hops(kVxm, SlicePosition(slice)), words_);
    }
    return block_;
  }

 private:
  // Quads of the eastward and the westward streams.
  static constexpr int kValueQuad = 0, kKeptBackQuad = 1, kJoinQuad = 2, kFinalQuad = 3;
  static constexpr int kMovedQuad = 0, kStillQuad = 1, kKeptQuad = 2, kLoadQuad = 4;
  static constexpr int kPassAlu = 0, kTreeAlu = 1, kKeepAlu = 2, kJoinAlu = 5, kEndAlu = 6;

  int d(Opcode op) const { return timing_.d_func[static_cast<int>(op)]; }
  int Out() const { return ops::East(4 * kValueQuad); }

  void Pass(int from, int to, int64_t at, int alu) {
    block_.At(VxmQueue(alu), ops::BinaryImm(Opcode::kOr, kTypeF32, from, 0, to), at, words_);
  }
  void Combine(int a, int b, int out, int64_t at, int alu) {
    block_.At(VxmQueue(alu), ops::Binary(op_, kTypeF32, a, b, out), at, words_);
  }
  // From the VXM through both lane shifters of the east: moved and still. Returns when at the VXM.
  int64_t RoundTrip(int64_t at, int stream, int n, Hemisphere side) {
    const int64_t sxm = at + Hops(kVxm, SxmPosition(side));
    block_.At(SxmQueue(side, 2), ops::Shift(4, n, 1, stream, ops::West(4 * kMovedQuad)), sxm, words_);
    block_.At(SxmQueue(side, 3), ops::Shift(4, 0, 1, stream, ops::West(4 * kStillQuad)), sxm, words_);
    return sxm + d(Opcode::kShift) + Hops(SxmPosition(side), kVxm);
  }
  int64_t Circle(int64_t at, int out, int n, int in) {
    const int64_t sxm = at + Hops(kVxm, kSxmWest);
    block_.At(SxmQueue(Hemisphere::kWest, 2), ops::Shift(4, n, 1, out, in), sxm, words_);
    return sxm + d(Opcode::kShift) + Hops(kSxmWest, kVxm);
  }

  const ChipTiming& timing_;
  const Opcode op_;
  const int words_;
  Block block_;
  int64_t now_ = 0;        // when the current value stands at the VXM
  int64_t joined_at_ = 0;
  int final_ = ops::East(4 * kValueQuad);
};

}  // namespace

void Kernels::LaneSum(Quad src, Quad dst, int words) {
  for (int w = 0; w < words; w += kTreeBatch) {
    LaneTree tree(timing, Opcode::kAdd, std::min(kTreeBatch, words - w), "lane sum");
    tree.Begin(src + w);
    for (int n : kTreeShifts) tree.Step(n);
    tree.Keep(-4);  // classes i..i+3 by two more steps; the fifth, i + 4, joins them
    tree.Step(-1);
    tree.Step(-2);
    tree.Join();
    placer.Place(tree.End(dst + w));
  }
}

void Kernels::LaneMax(Quad src, Quad dst, int words) {
  for (int w = 0; w < words; w += kTreeBatch) {
    LaneTree tree(timing, Opcode::kMax, std::min(kTreeBatch, words - w), "lane max");
    tree.Begin(src + w);
    for (int n : kTreeShifts) tree.Step(n);
    for (int n : {1, 2, 1}) tree.Step(n);
    placer.Place(tree.End(dst + w));
  }
}

void Kernels::RmsNorm(Quad x, Quad gain, Quad scratch, int words, int elements, float eps,
                      Pair west, Pair east) {
  {
    Chain c(timing, "rmsnorm squares", words, AccumulatePeriod(timing, Opcode::kAdd));
    const Chain::Value v = c.Load(x);
    c.Store(c.Accumulate(Opcode::kAdd, c.Op(Opcode::kMul, v, v)), scratch);
    placer.Place(c.Build());
  }
  LaneSum(scratch, scratch + 1, 1);
  {
    Chain c(timing, "rmsnorm scale", 1);
    const Chain::Value mean =
        c.OpImm(Opcode::kMul, c.Load(scratch + 1), 1.0f / static_cast<float>(elements));
    c.Store(c.Unary(Opcode::kRsqrt, c.OpImm(Opcode::kAdd, mean, eps)), scratch);
    placer.Place(c.Build());
  }
  Chain c(timing, "rmsnorm apply", words);
  const Chain::Value y = c.Op(Opcode::kMul, c.Op(Opcode::kMul, c.Load(x), c.Load(scratch, 0)),
                              c.Load(gain));
  c.Store16(c.To16(y), west);
  c.Store16(c.To16(y), east);
  placer.Place(c.Build());
}

void Kernels::Rotary(Quad x, const RotaryTables& tables, int words, int distance, float scale,
                     Pair y, int stride) {
  for (int w = 0; w < words; w += kShiftedBatch) {
    Chain c(timing, "rotary", std::min(kShiftedBatch, words - w));
    const Quad from = x + w * stride;
    const Chain::Value low = c.Op(Opcode::kMul, c.LoadShifted(from, -distance, stride),
                                  c.Load(tables.sin_low, 0));
    const Chain::Value high = c.Op(Opcode::kMul, c.LoadShifted(from, distance, stride),
                                   c.Load(tables.sin_high, 0));
    const Chain::Value straight = c.Op(Opcode::kMul, c.Load(from, stride), c.Load(tables.cos, 0));
    const Chain::Value turned = c.Op(Opcode::kAdd, low, high);
    const Chain::Value sum = c.Op(Opcode::kAdd, straight, turned);
    c.Store16(c.To16(c.OpImm(Opcode::kMul, sum, scale)), y + w * stride, stride);
    placer.Place(c.Build());
  }
}

void Kernels::RotaryAcross(Quad x, const RotaryTables& tables, int pairs, Pair y, int stride) {
  for (int i = 0; i < pairs; i += kShiftedBatch) {
    for (int half = 0; half < 2; ++half) {
      Chain c(timing, "rotary", std::min(kShiftedBatch, pairs - i));
      const Quad from = x + i * stride;
      const Quad sin = half == 0 ? tables.sin_low : tables.sin_high;
      // The neighbour comes by way of the lane shifter, so that the slice is read at two times.
      const Chain::Value turned =
          c.Op(Opcode::kMul, c.LoadShifted(from + (1 - half), 0, stride), c.Load(sin, 0));
      const Chain::Value straight =
          c.Op(Opcode::kMul, c.Load(from + half, stride), c.Load(tables.cos, 0));
      c.Store16(c.To16(c.Op(Opcode::kAdd, straight, turned)), y + (i * stride + half), stride);
      placer.Place(c.Build());
    }
  }
}

void Kernels::SwiGlu(Quad gate, Quad up, int words, Pair west, Pair east) {
  Chain c(timing, "swiglu", words);
  const Chain::Value g = c.Load(gate);
  const Chain::Value half = c.OpImm(Opcode::kMul, g, 0.5f);
  const Chain::Value sigmoid2 = c.OpImm(Opcode::kAdd, c.Unary(Opcode::kTanh, half), 1.0f);
  const Chain::Value silu = c.Op(Opcode::kMul, half, sigmoid2);
  const Chain::Value y = c.Op(Opcode::kMul, silu, c.Load(up));
  c.Store16(c.To16(y), west);
  c.Store16(c.To16(y), east);
  placer.Place(c.Build());
}

void Kernels::ToHalf(Quad x, int words, Pair y) {
  Chain c(timing, "to half", words);
  c.Store16(c.To16(c.Load(x)), y);
  placer.Place(c.Build());
}

void Kernels::Add(Quad a, Quad b, int words, Quad y) {
  Chain c(timing, "add", words);
  c.Store(c.Op(Opcode::kAdd, c.Load(a), c.Load(b)), y);
  placer.Place(c.Build());
}

void Kernels::MaskBias(Quad iota, Quad position, int words, Quad bias) {
  Chain c(timing, "mask bias", words);
  const Chain::Value beyond = c.Op(Opcode::kCmpGt, c.Load(iota), c.Load(position, 0));
  c.Store(c.OpBits(Opcode::kAnd, beyond, std::bit_cast<uint32_t>(-1e30f)), bias);
  placer.Place(c.Build());
}

void Kernels::GatherRow(Hemisphere side, int address, int rows, Single map, int words, Quad y) {
  Chain c(timing, "gather row", words);
  const Chain::Value in = c.Inbound(side, kTypeF16);
  c.Store(c.To32(in), y);
  Block& b = c.Build();
  b.Reach(rows);
  const int stream = c.StreamOf(in), map_stream = StreamNumber(Outward(side), 31);
  const int d_gather = timing.d_func[static_cast<int>(Opcode::kGather)];
  int64_t map_first = INT64_MAX, map_last = INT64_MIN;  // by arrival at the map's own slice
  const int map_slice = ColumnSlice(map.side, map.column, map.plane);
  for (int w = 0; w < words; ++w) {
    for (int k = 0; k < 2; ++k) {
      const int slice = WeightSlice(side, 2 * (w % 16) + k);
      const int64_t at = c.TimeOf(in) + w - Hops(SlicePosition(slice), kVxm) - d_gather;
      b.At(MemQueue(slice), ops::Gather(address + w / 16 * rows, 0, map_stream, stream + k), at);
      const int64_t leave = at - Hops(SlicePosition(map_slice), SlicePosition(slice));
      map_first = std::min(map_first, leave), map_last = std::max(map_last, leave);
    }
  }
  b.At(MemQueue(map_slice), ops::Read(map.address, 0, map_stream),
       map_first - timing.d_func[static_cast<int>(Opcode::kRead)],
       static_cast<int>(map_last - map_first) + 1);
  placer.Place(b);
}

void Kernels::GatherQuad(Quad table, Single map, Quad y) {
  LOCKSTEP_CHECK(y.side == Other(table.side) && map.side == y.side, "sides of a table gather");
  Block b("gather table");
  const int map_stream = StreamNumber(Outward(table.side), 31);
  const int map_slice = ColumnSlice(map.side, map.column, map.plane);
  const int in = StreamNumber(Inward(table.side), 0);
  for (int k = 0; k < 4; ++k) {
    const int slice = ColumnSlice(table.side, table.column, k);
    b.At(MemQueue(slice), ops::Gather(table.address, 0, map_stream, in + k), 0);
    const int target = ColumnSlice(y.side, y.column, k);
    b.At(MemQueue(target), ops::Write(y.address, 0, in + k),
         timing.d_func[static_cast<int>(Opcode::kGather)] +
             Hops(SlicePosition(slice), SlicePosition(target)));
  }
  b.At(MemQueue(map_slice), ops::Read(map.address, 0, map_stream),
       -Hops(SlicePosition(map_slice), SlicePosition(ColumnSlice(table.side, table.column, 0))) -
           timing.d_func[static_cast<int>(Opcode::kRead)]);
  placer.Place(b);
}

}  // namespace lockstep
