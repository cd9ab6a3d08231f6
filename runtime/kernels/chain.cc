// Scheduling of VXM chains (runtime/kernels/chain.h). An operation runs when its latest computed
// operand is ready; loads are timed to arrive then; computed operands that are early are passed on.
#include "runtime/kernels/chain.h"

#include <algorithm>

#include "chip/check.h"
#include "chip/instructions.h"

namespace lockstep {
namespace {
constexpr int kAlus = 16, kQuadsPerDirection = 8;
constexpr int kLastQuad = 6;  // the one behind it has the stream of what is sent to other chips
}  // namespace

Chain::Value Chain::Add(Node node) {
  nodes_.push_back(node);
  return static_cast<Value>(nodes_.size()) - 1;
}

Chain::Value Chain::Load(Quad src, int stride) {
  return Add(
      {.kind = Kind::kLoad, .src = src, .stride = stride, .side = src.side, .count = count_});
}

Chain::Value Chain::LoadShifted(Quad src, int n, int stride) {
  return Add({.kind = Kind::kLoad,
              .src = src,
              .stride = stride,
              .shift = n,
              .shifted = true,
              .side = src.side,
              .count = count_});
}

Chain::Value Chain::Load16(Pair src, int stride) {
  return Add({.kind = Kind::kLoad,
              .type = kTypeF16,
              .src = {src.side, src.column, src.address},
              .plane = src.plane,
              .stride = stride,
              .side = src.side,
              .count = count_});
}

Chain::Value Chain::LoadShifted16(Pair src, int n, int stride) {
  return Add({.kind = Kind::kLoad,
              .type = kTypeF16,
              .src = {src.side, src.column, src.address},
              .plane = src.plane,
              .stride = stride,
              .shift = n,
              .shifted = true,
              .side = src.side,
              .count = count_});
}

Chain::Value Chain::LoadI32(Quad src, int stride) {
  return Add({.kind = Kind::kLoad,
              .type = kTypeI32,
              .src = src,
              .stride = stride,
              .side = src.side,
              .count = count_});
}

Chain::Value Chain::Inbound(Hemisphere side, int type) {
  return Add({.kind = Kind::kInbound, .type = type, .side = side, .count = count_});
}

Chain::Value Chain::Operate(const Instruction& instr, int type, Value a, Value b) {
  int count = nodes_[a].count;
  if (b >= 0) count = std::min(count, nodes_[b].count);
  // A load next to a single (accumulated) vector loads one vector.
  if (nodes_[a].kind == Kind::kLoad) nodes_[a].count = count;
  if (b >= 0 && nodes_[b].kind == Kind::kLoad) nodes_[b].count = count;
  return Add({.kind = Kind::kOp, .type = type, .instr = instr, .a = a, .b = b, .count = count});
}

Chain::Value Chain::Op(Opcode op, Value a, Value b) {
  const int type = nodes_[a].type;
  return Operate(ops::Binary(op, type, 0, 0, 0), type, a, b);
}
Chain::Value Chain::OpImm(Opcode op, Value a, float imm) {
  return Operate(ops::BinaryImm(op, 0, imm, 0), kTypeF32, a, -1);
}
Chain::Value Chain::OpBits(Opcode op, Value a, uint32_t bits) {
  const int type = nodes_[a].type;
  return Operate(ops::BinaryImm(op, type, 0, static_cast<int32_t>(bits), 0), type, a, -1);
}
Chain::Value Chain::Unary(Opcode op, Value a) {
  return Operate(ops::Unary(op, nodes_[a].type, 0, 0), nodes_[a].type, a, -1);
}
Chain::Value Chain::To16(Value a) {
  return Operate(ops::Convert(nodes_[a].type, kTypeF16, 0, 0), kTypeF16, a, -1);
}
Chain::Value Chain::To32(Value a) {
  return Operate(ops::Convert(nodes_[a].type, kTypeF32, 0, 0), kTypeF32, a, -1);
}

Chain::Value Chain::To8(Value a) {
  return Operate(ops::Convert(nodes_[a].type, kTypeI8, 0, 0), kTypeI8, a, -1);
}

Chain::Value Chain::Accumulate(Opcode op, Value a) {
  const int type = nodes_[a].type;
  LOCKSTEP_CHECK(period_ == timing_.d_func[static_cast<int>(op)], "period %d", period_);
  const Value v = Operate(ops::Binary(op, type, 0, 0, 0), type, a, -1);
  nodes_[v].accumulate = true;
  nodes_[v].count = 1;
  return v;
}

Chain::Value Chain::TowardsSide(Value v, Hemisphere side) {
  if (nodes_[v].kind == Kind::kOp && !nodes_[v].wants_side) {
    nodes_[v].wants_side = true;
    nodes_[v].side = side;
  }
  if (nodes_[v].kind == Kind::kOp && nodes_[v].side == side) return v;
  // An ALU copies it onto a stream of the other direction.
  const Value copy = OpBits(Opcode::kOr, v, 0);
  return TowardsSide(copy, side);
}

void Chain::Store(Value v, Quad dst, int stride) {
  sinks_.push_back({TowardsSide(v, dst.side), dst, 0, 4, stride});
}

void Chain::Store16(Value v, Pair dst, int stride) {
  sinks_.push_back(
      {TowardsSide(v, dst.side), {dst.side, dst.column, dst.address}, dst.plane, 2, stride});
}

void Chain::Store8(Value v, Single dst, int stride) {
  sinks_.push_back(
      {TowardsSide(v, dst.side), {dst.side, dst.column, dst.address}, dst.plane, 1, stride});
}

int Chain::Outbound(Value v, Hemisphere side) { return TowardsSide(v, side); }

Chain::Value Chain::DelayedTo(Value v, int64_t cycle) {
  const int pass = timing_.d_func[static_cast<int>(Opcode::kOr)];
  while (nodes_[v].ready < cycle) {
    LOCKSTEP_CHECK(nodes_[v].ready + pass <= cycle,
                   "latencies do not align in %s: value ready at %d wanted at %d", block_.name(),
                   nodes_[v].ready, cycle);
    Node n{.kind = Kind::kOp, .type = nodes_[v].type, .a = v, .count = nodes_[v].count};
    n.instr = ops::BinaryImm(Opcode::kOr, n.type, 0, 0, 0);
    n.ready = nodes_[v].ready + pass;
    v = Add(n);
    AssignStream(v);
    EmitOp(nodes_[v]);
  }
  return v;
}

void Chain::AssignStream(Value v) {
  Node& n = nodes_[v];
  Direction d = n.kind == Kind::kOp ? Outward(n.side) : Inward(n.side);
  if (n.kind == Kind::kOp && !n.wants_side) {
    const bool east = next_quad_[0] + top_quad_[0] <= next_quad_[1] + top_quad_[1];
    d = east ? Direction::kEast : Direction::kWest;
  }
  const int direction = static_cast<int>(d);
  int& next = next_quad_[direction];
  LOCKSTEP_CHECK(next + top_quad_[direction] < kQuadsPerDirection,
                 "%s needs more streams than there are", block_.name());
  const int quad = next++;
  LOCKSTEP_CHECK(ends_ == Ends::kFirst || (quad <= kLastQuad && top_quad_[direction] == 0),
                 "%s needs more than the last streams", block_.name());
  n.stream = StreamNumber(d, 4 * (ends_ == Ends::kFirst ? quad : kLastQuad - quad));
}

int Chain::NextAlu() {
  const int alu = next_alu_++;
  return VxmQueue(ends_ == Ends::kFirst ? alu : kAlus - 1 - alu);
}

// Decides the cycle of an operation from its operands, delays what is early, emits it.
void Chain::Schedule(Value v) {
  const int a = nodes_[v].a, b = nodes_[v].b;
  int64_t at = 0;
  for (int operand : {a, b}) {
    if (operand >= 0) at = std::max(at, nodes_[operand].ready);
  }
  for (int which : {0, 1}) {
    const int operand = which == 0 ? a : b;
    if (operand < 0) continue;
    if (nodes_[operand].ready < 0) {
      nodes_[operand].ready = at;
      AssignStream(operand);
      if (nodes_[operand].kind == Kind::kLoad) EmitLoad(nodes_[operand]);
    }
    const int late = DelayedTo(operand, at);
    (which == 0 ? nodes_[v].a : nodes_[v].b) = late;
  }
  Node& n = nodes_[v];
  n.ready = at + Latency(n);
  AssignStream(v);
  EmitOp(nodes_[v]);
}

Block& Chain::Build() {
  const int recorded = static_cast<int>(nodes_.size());
  for (int v = 0; v < recorded; ++v) {
    if (nodes_[v].kind == Kind::kOp) Schedule(v);
  }
  for (const Sink& s : sinks_) EmitSink(s);
  return block_;
}

// Reads that bring a node's vectors to position `target` from cycle `at` on.
void Chain::EmitReads(const Node& n, int stream, int target, int64_t at) {
  for (int k = 0; k < TypeBytes(n.type); ++k) {
    const int slice = ColumnSlice(n.side, n.src.column, n.plane + k);
    const int64_t first =
        at - Hops(SlicePosition(slice), target) - timing_.d_func[static_cast<int>(Opcode::kRead)];
    block_.At(MemQueue(slice), ops::Read(n.src.address, n.stride, stream + k), first, n.count,
              period_);
  }
}

void Chain::EmitShiftedLoad(const Node& n) {
  const int planes = TypeBytes(n.type), sxm = SxmPosition(n.side);
  const int64_t at = n.ready - Hops(sxm, kVxm) - timing_.d_func[static_cast<int>(Opcode::kShift)];
  const int slot = next_shifter_[static_cast<int>(n.side)]++;
  LOCKSTEP_CHECK(slot < 2, "%s needs more lane shifters than there are", block_.name());
  int stream = -1;
  for (const ShiftedRead& r : shifted_) {
    const bool same = r.src.side == n.side && r.src.column == n.src.column &&
                      r.src.address == n.src.address && r.plane == n.plane &&
                      r.stride == n.stride && r.planes == planes && r.at == at;
    if (same) stream = r.stream;
  }
  if (stream < 0) {
    // Outward streams from the top; the others count from the bottom.
    const Direction out = Outward(n.side);
    int& top = top_quad_[static_cast<int>(out)];
    LOCKSTEP_CHECK(next_quad_[static_cast<int>(out)] + top < kQuadsPerDirection,
                   "%s needs more streams than there are", block_.name());
    stream = StreamNumber(out, 4 * (kQuadsPerDirection - 1 - top++));
    shifted_.push_back({n.src, n.plane, n.stride, planes, at, stream});
    EmitReads(n, stream, sxm, at);
  }
  block_.At(SxmQueue(n.side, 2 + slot), ops::Shift(planes, n.shift, 0, stream, n.stream), at,
            n.count, period_);
}

void Chain::EmitLoad(const Node& n) {
  if (n.shifted) return EmitShiftedLoad(n);
  EmitReads(n, n.stream, kVxm, n.ready);
}

void Chain::EmitOp(Node& n) {
  LOCKSTEP_CHECK(next_alu_ + (n.accumulate ? 2 : 1) <= kAlus, "%s needs more ALUs than there are",
                 block_.name());
  const OpInfo& info = Info(n.instr.op);
  const int out = info.operand_count - 1;
  n.instr.arg[out] = n.stream;
  n.instr.arg[OperandIndex(n.instr.op, "a")] = nodes_[n.a].stream;
  if (n.b >= 0) n.instr.arg[OperandIndex(n.instr.op, "b")] = nodes_[n.b].stream;
  const int64_t at = n.ready - Latency(n);
  if (!n.accumulate) {
    block_.At(NextAlu(), n.instr, at, n.count, period_);
    return;
  }
  // The first vector starts the sum; each later one meets it on the result's own stream.
  const Instruction start = ops::BinaryImm(Opcode::kOr, n.type, nodes_[n.a].stream, 0, n.stream);
  block_.At(NextAlu(), start, at);
  n.instr.arg[OperandIndex(n.instr.op, "b")] = n.stream;
  block_.At(NextAlu(), n.instr, at + period_, count_ - 1, period_);
  n.ready += int64_t{count_ - 1} * period_;
}

void Chain::EmitSink(const Sink& s) {
  const Node& n = nodes_[s.value];
  for (int k = 0; k < s.planes; ++k) {
    const int slice = ColumnSlice(s.dst.side, s.dst.column, s.plane + k);
    block_.At(MemQueue(slice), ops::Write(s.dst.address, s.stride, n.stream + k),
              n.ready + Hops(kVxm, SlicePosition(slice)), n.count, period_);
  }
}

}  // namespace lockstep
