// Norms, elementwise kernels, gathers and lane reductions (runtime/kernels/kernels.h).
#include "runtime/kernels/kernels.h"

#include <algorithm>
#include <array>
#include <bit>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {
namespace {

// Vectors a chain may take when it reads one slice twice, at different distances.
constexpr int kShiftedBatch = 12;

// What reductions over lanes have in common: a value goes out to both SXMs, whose four lane
// shifters send it back moved, and parts of both sides make the next value.
class LaneReduction {
 protected:
  LaneReduction(const ChipTiming& timing, Opcode op, int words, const char* name)
      : timing_(timing), op_(op), words_(words), block_(name) {}

  // Quads of the streams of either direction.
  static constexpr int kValueQuad = 0, kBackQuads = 1, kPartQuad = 3, kLoadQuad = 4;
  static constexpr int kOutAlu = 0, kPartAlu = 2;

  int d(Opcode op) const { return timing_.d_func[static_cast<int>(op)]; }
  static int Value(Hemisphere side) { return StreamNumber(Outward(side), 4 * kValueQuad); }
  static int Part(Hemisphere side) { return StreamNumber(Outward(side), 4 * kPartQuad); }

  void Load(Quad src) {
    const int in = StreamNumber(Inward(src.side), 4 * kLoadQuad);
    AccessColumn(block_, src, ops::Read(src.address, 1, in), -d(Opcode::kRead), -1, words_);
    for (Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
      block_.At(VxmQueue(kOutAlu + static_cast<int>(side)),
                ops::BinaryImm(Opcode::kOr, kTypeF32, in, 0, Value(side)), 0, words_);
    }
    now_ = d(Opcode::kOr);
  }
  void Store(Quad dst, int stream) {
    AccessColumn(block_, dst, ops::Write(dst.address, 1, stream), now_, 1, words_);
  }
  void Combine(int a, int b, int out, int alu) {
    block_.At(VxmQueue(alu), ops::Binary(op_, kTypeF32, a, b, out), now_, words_);
  }
  // The next value, towards both SXMs.
  void CombineParts() {
    for (Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
      Combine(Part(Hemisphere::kWest), Part(Hemisphere::kEast), Value(side),
              kOutAlu + static_cast<int>(side));
    }
    now_ += d(op_);
  }

  const ChipTiming& timing_;
  const Opcode op_;
  const int words_;
  Block block_;
  int64_t now_ = 0;  // when the current value stands at the VXM
};

// Four trips to the SXMs, for any operation:
//
//   Fold n      v = (v + v moved 2n) + (v moved n + v moved 3n): the same bits n lanes apart
//               (n: 80, 20, 5)
//   Last five   v = ((v moved 1 + v moved 4) + (v moved 2 + v moved 3)) + v, which waits in dst
class LaneTree : LaneReduction {
 public:
  LaneTree(const ChipTiming& timing, Opcode op, int words, const char* name)
      : LaneReduction(timing, op, words, name) {}

  Block& Reduce(Quad src, Quad dst) {
    Load(src);
    for (int n : {80, 20, 5}) {
      Moved({{{2 * n, 0}, {n, 3 * n}}});
      CombineParts();
    }
    LastFive(dst);
    return block_;
  }

 private:
  static constexpr int kKeptQuad = 5, kFiveQuad = 6;
  static constexpr int kFinalQuad = kValueQuad;  // no value is on its way any more
  static constexpr int kFiveAlu = 4, kFinalAlu = 5;

  // Brings the value back moved by lanes[side], and combines the two of each side.
  void Moved(const std::array<std::array<int, 2>, 2>& lanes) {
    const int64_t out = now_;
    for (Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
      const int s = static_cast<int>(side), sxm = SxmPosition(side);
      for (int i = 0; i < 2; ++i) {
        const int back = StreamNumber(Inward(side), 4 * (kBackQuads + i));
        block_.At(SxmQueue(side, 2 + i), ops::Shift(4, lanes[s][i], 1, Value(side), back),
                  out + Hops(kVxm, sxm), words_);
      }
      now_ = out + 2 * Hops(kVxm, sxm) + d(Opcode::kShift);
      const int first = StreamNumber(Inward(side), 4 * kBackQuads);
      Combine(first, first + 4, Part(side), kPartAlu + s);
    }
    now_ += d(op_);
  }
  void LastFive(Quad dst) {
    const int kept = StreamNumber(Inward(dst.side), 4 * kKeptQuad);
    const int last = StreamNumber(Outward(dst.side), 4 * kFinalQuad),
              five = ops::East(4 * kFiveQuad);
    Store(dst, Value(dst.side));
    Moved({{{1, 4}, {2, 3}}});
    Combine(Part(Hemisphere::kWest), Part(Hemisphere::kEast), five, kFiveAlu);
    now_ += d(op_);
    AccessColumn(block_, dst, ops::Read(dst.address, 1, kept), now_ - d(Opcode::kRead), -1, words_);
    Combine(five, kept, last, kFinalAlu);
    now_ += d(op_);
    Store(dst, last);
  }
};

// The largest of all lanes in two trips to the SXMs instead of four, for as few words as one
// operation takes cycles: each lane shifter sends the value back several times, and an ALU keeps
// the largest of what comes.
//
//   1st trip   moved 0, 16, .. 304: the largest of the lanes 16 apart      20 times
//   2nd trip   moved 0, 1, .. 15                                           16 times
class LaneFan : LaneReduction {
 public:
  LaneFan(const ChipTiming& timing, int words, const char* name)
      : LaneReduction(timing, Opcode::kMax, words, name) {}

  Block& Reduce(Quad src, Quad dst) {
    Load(src);
    Trip(16, kLanes / 16);
    CombineParts();
    Trip(1, 16);
    Combine(Part(Hemisphere::kWest), Part(Hemisphere::kEast), Value(dst.side), kOutAlu);
    now_ += d(op_);
    Store(dst, Value(dst.side));
    return block_;
  }

 private:
  static constexpr int kMaxQuads = 5;
  static constexpr int kStartAlu = 4, kMaxAlu = 8, kAgainAlu = 12;
  static constexpr int kShifters = 4;  // two a side

  static int Largest(Hemisphere side, int shifter) {
    return StreamNumber(Outward(side), 4 * (kMaxQuads + shifter));
  }
  // Parts become the largest of the value moved by 0, lanes, .. (`times` in all), of a half of them
  // each.
  void Trip(int lanes, int times) {
    const int each = times / kShifters, step = d(Opcode::kMax);
    const int64_t sent = now_, back = sent + 2 * Hops(kVxm, kSxmEast) + d(Opcode::kShift);
    for (Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
      const int s = static_cast<int>(side);
      for (int i = 0; i < each; ++i) {
        // What is sent goes round.
        if (i > 0) {
          block_.At(VxmQueue(kAgainAlu + s),
                    ops::BinaryImm(Opcode::kOr, kTypeF32, Value(side), 0, Value(side)),
                    sent + (i - 1) * step, words_);
        }
        for (int j : {0, 1})
          Moved(side, j, ((2 * s + j) * each + i) * lanes, i == 0, back + i * step);
      }
      now_ = back + each * step;
      Combine(Largest(side, 0), Largest(side, 1), Part(side), kPartAlu + s);
    }
    now_ += step;
  }
  // A lane shifter of a side brings the value to the VXM in cycle `at`; it is the largest, or
  // compared with that.
  void Moved(Hemisphere side, int j, int lanes, bool first, int64_t at) {
    const int moved = StreamNumber(Inward(side), 4 * (kBackQuads + j)), largest = Largest(side, j);
    block_.At(SxmQueue(side, 2 + j), ops::Shift(4, lanes, 1, Value(side), moved),
              at - Hops(kVxm, SxmPosition(side)) - d(Opcode::kShift), words_);
    const int alu = 2 * static_cast<int>(side) + j;
    if (first) {
      block_.At(VxmQueue(kStartAlu + alu), ops::BinaryImm(Opcode::kOr, kTypeF32, moved, 0, largest),
                at, words_);
    } else {
      block_.At(VxmQueue(kMaxAlu + alu),
                ops::Binary(Opcode::kMax, kTypeF32, moved, largest, largest), at, words_);
    }
  }
};

void PlaceTrees(Placer& placer, const ChipTiming& timing, Opcode op, const char* name, Quad src,
                Quad dst, int words) {
  const int batch = InPlace(timing, op, dst);
  for (int w = 0; w < words; w += batch) {
    LaneTree tree(timing, op, std::min(batch, words - w), name);
    placer.Place(tree.Reduce(src + w, dst + w));
  }
}

}  // namespace

void AccessColumn(Block& b, Quad q, Instruction instr, int64_t at, int hops, int count) {
  const int stream = OperandIndex(instr.op, instr.op == Opcode::kRead ? "out" : "s");
  for (int k = 0; k < kSlicesPerColumn; ++k, ++instr.arg[stream]) {
    const int slice = ColumnSlice(q.side, q.column, k);
    b.At(MemQueue(slice), instr, at + hops * Hops(kVxm, SlicePosition(slice)), count);
  }
}

int InPlace(const ChipTiming& timing, Opcode op, Quad at) {
  return timing.d_func[static_cast<int>(op)] + timing.d_func[static_cast<int>(Opcode::kRead)] +
         2 * Hops(kVxm, SlicePosition(ColumnSlice(at.side, at.column, 0)));
}

void Kernels::LaneSum(Quad src, Quad dst, int words) {
  PlaceTrees(placer, timing, Opcode::kAdd, "lane sum", src, dst, words);
}

void Kernels::LaneMax(Quad src, Quad dst, int words) {
  if (words <= timing.d_func[static_cast<int>(Opcode::kMax)]) {
    LaneFan fan(timing, words, "lane max");
    placer.Place(fan.Reduce(src, dst));
    return;
  }
  PlaceTrees(placer, timing, Opcode::kMax, "lane max", src, dst, words);
}

void Kernels::Rotary(Quad x, const RotaryTables& tables, int words, int distance, float scale,
                     Pair y, int stride) {
  for (int w = 0; w < words; w += kShiftedBatch) {
    Chain c(timing, "rotary", std::min(kShiftedBatch, words - w));
    const Quad from = x + w * stride;
    const Chain::Value low =
        c.Op(Opcode::kMul, c.LoadShifted(from, -distance, stride), c.Load(tables.sin_low, 0));
    const Chain::Value high =
        c.Op(Opcode::kMul, c.LoadShifted(from, distance, stride), c.Load(tables.sin_high, 0));
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

void Kernels::SwiGlu(Quad gate, Quad up, int words, Pair west, Pair east,
                     const std::optional<Factor>& by) {
  Chain c(timing, "swiglu", words);
  const Chain::Value g = c.Load(gate);
  const Chain::Value half =
      by ? c.Op(Opcode::kMul, g, c.Load(by->half, 0)) : c.OpImm(Opcode::kMul, g, 0.5f);
  const Chain::Value sigmoid2 = c.OpImm(Opcode::kAdd, c.Unary(Opcode::kTanh, half), 1.0f);
  const Chain::Value silu = c.Op(Opcode::kMul, half, sigmoid2);
  Chain::Value y = c.Op(Opcode::kMul, silu, c.Load(up));
  if (by) y = c.Op(Opcode::kMul, y, c.Load(by->whole, 0));
  c.Store16(c.To16(y), west);
  c.Store16(c.To16(y), east);
  placer.Place(c.Build());
}

void Kernels::Scale(Quad y, int stride, Quad by, int by_stride, int words) {
  const int most = InPlace(timing, Opcode::kMul, y);
  for (int w = 0; w < words; w += most) {
    Chain c(timing, "scale", std::min(most, words - w));
    const Chain::Value scaled =
        c.Op(Opcode::kMul, c.Load(y + w * stride, stride), c.Load(by + w * by_stride, by_stride));
    c.Store(scaled, y + w * stride, stride);
    placer.Place(c.Build());
  }
}

void Kernels::SplitKeyValue(Quad x, Quad low_half, Quad key, Pair value) {
  Chain both(timing, "split key", 1);
  const Chain::Value low = both.Op(Opcode::kMask, both.Load(x), both.Load(low_half));
  both.Store(both.Op(Opcode::kOr, low, both.LoadShifted(x, kHalfLanes)), key);
  placer.Place(both.Build());
  Chain high(timing, "split value", 1);
  high.Store16(high.To16(high.LoadShifted(x, -kHalfLanes)), value);
  placer.Place(high.Build());
}

void Kernels::PackHeads(const Pair x[2], int heads, int elements, Pair west, Pair east,
                        const LastHeads& last_heads) {
  for (int first = 0, word = 0; first < heads * elements; first += kLanes, ++word) {
    const int last = (std::min(first + kLanes, heads * elements) - 1) / elements;
    const int lane = first + kLanes < heads * elements ? 0 : last_heads.lane;
    // Each hemisphere has two lane shifters.
    constexpr int kAtOnce = 4;
    for (int from = first / elements; from <= last; from += kAtOnce) {
      Chain c(timing, "pack heads", 1);
      const auto part = [&](int h) {
        return c.LoadShifted16(x[(h - from) % 2] + h, h * elements - first + lane);
      };
      Chain::Value all = part(from);
      for (int h = from + 1; h <= std::min(last, from + kAtOnce - 1); ++h) {
        all = c.Op(Opcode::kOr, all, part(h));
      }
      all = from == first / elements ? c.OpBits(Opcode::kOr, all, 0)
                                     : c.Op(Opcode::kOr, all, c.Load16(west + word));
      if (lane > 0) all = c.Op(Opcode::kMask, all, c.Load16(last_heads.mask));
      c.Store16(all, west + word);
      c.Store16(all, east + word);
      placer.Place(c.Build());
    }
  }
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

}  // namespace lockstep
