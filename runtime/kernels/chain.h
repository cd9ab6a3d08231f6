#pragma once
// A chain: elementwise work on `count` vectors, one after the other, through the VXM without
// touching SRAM in between. Values are loaded from SRAM (straight, or through a lane shifter), pass
// through ALUs that hand results to each other on streams, and are stored.
//
//   Chain c(timing, "swiglu", words);
//   Value g = c.Load(gate), u = c.Load(up);
//   c.Store(c.Op(Opcode::kMul, g, u), out);
//   placer.Place(c.Build());
//
// Each operation is one instruction repeated for all vectors. Operands that are ready before their
// partner are passed through spare ALUs. REQUIRES (checked): at most 16 ALU operations and 16
// values.

#include <vector>

#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/place.h"

namespace lockstep {

class Chain {
 public:
  using Value = int;  // index of a node

  // Which ALUs and streams it takes, as far as it is free to: the first ones, or the last, so that a
  // long chain can run beside many short ones.
  enum class Ends : uint8_t { kFirst, kLast };

  Chain(const ChipTiming& timing, const char* name, int count, int period = 1,
        Ends ends = Ends::kFirst)
      : timing_(timing), block_(name), count_(count), period_(period), ends_(ends) {}

  // fp32 vectors src, src + stride, ...
  Value Load(Quad src, int stride = 1);
  // The same through its hemisphere's SXM, every element moved n lanes up (zeros come in).
  Value LoadShifted(Quad src, int n, int stride = 1);
  // fp16 vectors, straight or shifted; int32 vectors.
  Value Load16(Pair src, int stride = 1);
  Value LoadShifted16(Pair src, int n, int stride = 1);
  Value LoadI32(Quad src, int stride = 1);
  // Vectors that come along inward streams of `side`, one for each byte of the type; whoever calls emits their
  // producers so that vector i is at the VXM in cycle TimeOf(value) + i * period.
  Value Inbound(Hemisphere side, int type);

  Value Op(Opcode op, Value a, Value b);
  Value OpImm(Opcode op, Value a, float imm);
  Value OpBits(Opcode op, Value a, uint32_t bits);
  Value Unary(Opcode op, Value a);
  Value To16(Value a);
  Value To32(Value a);
  Value To8(Value a);  // int8, rounded to nearest even, saturating
  // op over all vectors of the chain, first to last; what follows handles one vector.
  // REQUIRES: period == d_func(op) (use AccumulatePeriod()).
  Value Accumulate(Opcode op, Value a);

  void Store(Value v, Quad dst, int stride = 1);
  void Store16(Value v, Pair dst, int stride = 1);
  void Store8(Value v, Single dst, int stride = 1);
  // Puts v on outward streams of `side` for a consumer the caller emits; returns the first stream.
  int Outbound(Value v, Hemisphere side);

  // Assigns cycles, ALUs and streams. Call once, after the last operation; then TimeOf and StreamOf
  // answer, and extra instructions may be added to the block.
  Block& Build();
  int64_t TimeOf(Value v) const { return nodes_[v].ready; }
  int StreamOf(Value v) const { return nodes_[v].stream; }

 private:
  enum class Kind : uint8_t { kLoad, kInbound, kOp };
  struct Node {
    Kind kind;
    int type = kTypeF32;
    // kLoad
    Quad src{};
    int plane = 0, stride = 1, shift = 0;
    bool shifted = false;
    // kOp
    Instruction instr{};
    int a = -1, b = -1;
    bool accumulate = false;
    // where and when
    bool wants_side = false;
    Hemisphere side = Hemisphere::kEast;  // loads: comes from; ops: streams towards
    int count = 0;
    int64_t ready = -1;  // cycle at the VXM; -1: not decided
    int stream = -1;
  };
  struct ShiftedRead {  // vectors on their way out to the SXM; both lane shifters may take them
    Quad src;
    int plane, stride, planes;
    int64_t at;
    int stream;
  };
  struct Sink {
    int value;
    Quad dst;
    int plane, planes, stride;
  };

  Value Add(Node node);
  Value Operate(const Instruction& instr, int type, Value a, Value b);
  Value TowardsSide(Value v, Hemisphere side);
  int Latency(const Node& n) const { return timing_.d_func[static_cast<int>(n.instr.op)]; }
  Value DelayedTo(Value v, int64_t cycle);
  void Schedule(Value v);
  void AssignStream(Value v);
  int NextAlu();
  void EmitLoad(const Node& n);
  void EmitReads(const Node& n, int stream, int target, int64_t at);
  void EmitShiftedLoad(const Node& n);
  void EmitOp(Node& n);
  void EmitSink(const Sink& s);

  const ChipTiming& timing_;
  Block block_;
  const int count_, period_;
  const Ends ends_;
  std::vector<Node> nodes_;
  std::vector<Sink> sinks_;
  std::vector<ShiftedRead> shifted_;
  int next_alu_ = 0;
  int next_quad_[2] = {0, 0};  // by direction: quads given out from the bottom,
  int top_quad_[2] = {0, 0};   // and from the top, to vectors on their way to an SXM
  int next_shifter_[2] = {0, 0};
};

// The period of a chain that accumulates with `op`.
inline int AccumulatePeriod(const ChipTiming& timing, Opcode op) {
  return timing.d_func[static_cast<int>(op)];
}

}  // namespace lockstep
