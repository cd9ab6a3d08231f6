// The one table of instructions (chip/isa.h) and what follows from it.
#include "chip/isa.h"

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/queue.h"

namespace lockstep {
namespace {

constexpr absl::string_view kT1 = "ISCA'20 Table I", kT2 = "ISCA'22 Table 1";
constexpr absl::string_view kOurs = "ours (a comparison or bitwise op; Table I lists only examples)";

constexpr OperandInfo Count(absl::string_view name, int32_t min, int32_t max) {
  return {name, OperandKind::kCount, min, max};
}
constexpr OperandInfo Signed(absl::string_view name, int32_t min, int32_t max) {
  return {name, OperandKind::kSigned, min, max};
}
constexpr OperandInfo In(absl::string_view name, GroupWidth w = GroupWidth::kOne) {
  return {name, OperandKind::kStreamIn, 0, 63, w};
}
constexpr OperandInfo Out(absl::string_view name, GroupWidth w = GroupWidth::kOne) {
  return {name, OperandKind::kStreamOut, 0, 63, w};
}
constexpr OperandInfo Type(absl::string_view name = "type") { return {name, OperandKind::kType, 0, 4}; }
constexpr OperandInfo Address() { return {"address", OperandKind::kAddress, 0, kWordsPerSlice - 1}; }
constexpr OperandInfo Stride() { return Signed("stride", -kWordsPerSlice, kWordsPerSlice); }
constexpr OperandInfo InOrImm() {
  return {"b", OperandKind::kStreamInOrImmediate, -1, 63, GroupWidth::kOfType};
}
constexpr OperandInfo Immediate() { return {"imm", OperandKind::kImmediate}; }

// clang-format off
#define OPERANDS(...) std::array<OperandInfo, kMaxOperands>{__VA_ARGS__}, \
    static_cast<int>(std::initializer_list<OperandInfo>{__VA_ARGS__}.size())
#define NO_OPERANDS std::array<OperandInfo, kMaxOperands>{}, 0
constexpr auto kT = GroupWidth::kOfType;
#define BINARY(op, name, origin, what) {Opcode::op, name, Unit::kVxm, kAnyQueueClass, origin, what, \
    OPERANDS(Type(), Count("saturate", 0, 1), In("a", kT), InOrImm(), Immediate(), Out("out", kT))}
#define UNARY(op, name, origin, what) {Opcode::op, name, Unit::kVxm, kAnyQueueClass, origin, what, \
    OPERANDS(Type(), In("a", kT), Out("out", kT))}

const OpInfo kTable[kOpcodes] = {
  {Opcode::kNop, "nop", std::nullopt, kAnyQueueClass, kT1, "Lets n cycles pass.", OPERANDS(Count("n", 1, 65535))},
  {Opcode::kRepeat, "repeat", std::nullopt, kAnyQueueClass, kT1, "Dispatches the instruction before it (a joined pair as one) n more times, d cycles apart; operands called stride advance each time.", OPERANDS(Count("n", 1, 65535), Count("d", 1, 65535))},
  {Opcode::kIfetch, "ifetch", std::nullopt, kAnyQueueClass, kT1, "Takes 640 B of this queue's text from two successive vectors of a stream.", OPERANDS(In("s"))},
  {Opcode::kSync, "sync", std::nullopt, kAnyQueueClass, kT1, "Parks the queue until the next notify reaches it.", NO_OPERANDS},
  {Opcode::kNotify, "notify", std::nullopt, kAnyQueueClass, kT1, "Releases every parked queue a fixed time later.", NO_OPERANDS},
  {Opcode::kConfig, "config", std::nullopt, kAnyQueueClass, kT1, "Powers n superlanes; MEM reads give zero in the others from then on.", OPERANDS(Count("superlanes", 1, kSuperlanes))},
  {Opcode::kDeskew, "deskew", std::nullopt, kAnyQueueClass, kT2, "Stops the queue until the hardware-aligned counter overflows.", NO_OPERANDS},
  {Opcode::kRuntimeDeskew, "runtime_deskew", std::nullopt, kAnyQueueClass, kT2, "Stalls t cycles, corrected by the drift between the software and hardware aligned counters.", OPERANDS(Count("t", 1, 65535))},
  {Opcode::kHac, "hac", std::nullopt, kAnyQueueClass, kT2, "Puts the hardware-aligned counter (0..251) on every lane of a stream.", OPERANDS(Out("out"))},
  {Opcode::kSac, "sac", std::nullopt, kAnyQueueClass, kT2, "Puts the software-aligned counter (0..251) on every lane of a stream.", OPERANDS(Out("out"))},

  {Opcode::kRead, "read", Unit::kMem, kAnyQueueClass, kT1, "Puts word `address` of the slice on a stream.", OPERANDS(Address(), Stride(), Out("out"))},
  {Opcode::kWrite, "write", Unit::kMem, kAnyQueueClass, kT1, "Stores a stream's vector in word `address` of the slice.", OPERANDS(Address(), Stride(), In("s"))},
  {Opcode::kGather, "gather", Unit::kMem, kAnyQueueClass, kT1, "Each superlane reads word address + map, map being the little-endian 16 bits in its first two lanes of the map stream; 0xffff reads zero.", OPERANDS(Address(), Stride(), In("map"), Out("out"))},
  {Opcode::kScatter, "scatter", Unit::kMem, kAnyQueueClass, kT1, "Each superlane stores to word address + map (see gather); 0xffff stores nothing.", OPERANDS(Address(), Stride(), In("map"), In("s"))},

  BINARY(kAdd, "add", kT1, "out = a + b."),
  BINARY(kSub, "sub", kT1, "out = a - b."),
  BINARY(kMul, "mul", kT1, "out = a * b."),
  BINARY(kMax, "max", kOurs, "out = the larger of a and b."),
  BINARY(kMin, "min", kOurs, "out = the smaller of a and b."),
  BINARY(kCmpEq, "cmpeq", kOurs, "out = all ones where a == b, else zero."),
  BINARY(kCmpGt, "cmpgt", kOurs, "out = all ones where a > b, else zero."),
  BINARY(kCmpGe, "cmpge", kOurs, "out = all ones where a >= b, else zero."),
  BINARY(kMask, "mask", kT1, "out = a where b has any bit set, else zero."),
  BINARY(kAnd, "and", kOurs, "out = a & b, by bits."),
  BINARY(kOr, "or", kOurs, "out = a | b, by bits."),
  BINARY(kXor, "xor", kOurs, "out = a ^ b, by bits."),
  UNARY(kNegate, "negate", kT1, "out = -a."),
  UNARY(kAbs, "abs", kOurs, "out = |a|."),
  UNARY(kRelu, "relu", kT1, "out = max(a, 0)."),
  UNARY(kTanh, "tanh", kT1, "out = tanh(a)."),
  UNARY(kExp, "exp", kT1, "out = e to the a."),
  UNARY(kRsqrt, "rsqrt", kT1, "out = 1 / sqrt(a)."),
  {Opcode::kConvert, "convert", Unit::kVxm, kAnyQueueClass, kT1, "out = a as another type, rounded once.", OPERANDS(Type("from"), Type("to"), In("a", GroupWidth::kOfType), Out("out", GroupWidth::kOfType2))},

  {Opcode::kLw, "lw", Unit::kMxm, kMxmLw, kT1, "Loads `count` streams into the weight buffer. i8: stream i is row `row + i` (320 weights). f16: stream pair i holds rows `row + i` (lanes 0..159) and `row + i + 160` (lanes 160..319) of the hemisphere's tandem planes.", OPERANDS(Type(), Count("row", 0, 319), Signed("stride", 0, 320), Count("count", 1, 16), In("s", GroupWidth::kCountOperand))},
  {Opcode::kIw, "iw", Unit::kMxm, kMxmIw, kT1, "Installs the weight buffer in the array; rows not loaded since the last install become zero; the buffer is empty afterwards.", OPERANDS(Type())},
  {Opcode::kAbcLoad, "abc.load", Unit::kMxm, kMxmAbc, kT1, "Keeps an activation vector in entry `entry` of the activation buffer.", OPERANDS(Type(), Count("entry", 0, 63), Signed("stride", -64, 64), In("s", kT))},
  {Opcode::kAbcFeed, "abc.feed", Unit::kMxm, kMxmAbc, kT1, "Feeds a kept activation to the array. f16: entry / 2 is the vector and entry % 2 picks its lanes 0..159 or 160..319; i8: the whole vector `entry`.", OPERANDS(Type(), Count("entry", 0, 127), Signed("stride", -128, 128))},
  {Opcode::kAbcStream, "abc.stream", Unit::kMxm, kMxmAbc, kT1, "Feeds an activation straight from a stream. f16: `half` picks lanes 0..159 or 160..319.", OPERANDS(Type(), Count("half", 0, 1), In("s", kT))},
  {Opcode::kAcc, "acc", Unit::kMxm, kMxmAcc, kT1, "Takes the result that leaves the array in this cycle; adds it to (or, add = 0, puts it in) accumulator `entry`; puts the accumulator on four streams unless out is none.", OPERANDS(Type(), Count("entry", 0, 15), Signed("stride", -15, 15), Count("add", 0, 1), OperandInfo{"out", OperandKind::kStreamOutOrNone, -1, 63, GroupWidth::kFour})},

  {Opcode::kShift, "shift", Unit::kSxm, kSxmLanes, kT1, "Moves every element n lanes up (n > 0) or down; wrap = 1 brings in the other end, else zeros.", OPERANDS(Count("width", 1, 4), Signed("n", -319, 319), Count("wrap", 0, 1), In("s", GroupWidth::kCountOperand), Out("out", GroupWidth::kCountOperand))},
  {Opcode::kSelect, "select", Unit::kSxm, kSxmLanes, kT1, "out = a where the mask stream's lane is not zero, else b.", OPERANDS(Count("width", 1, 4), In("a", GroupWidth::kCountOperand), In("b", GroupWidth::kCountOperand), In("mask"), Out("out", GroupWidth::kCountOperand))},
  {Opcode::kPermute, "permute", Unit::kSxm, kSxmLanes, kT1, "out lane i = lane map[i]; the map is 16 bits a lane on a stream pair and must be a bijection.", OPERANDS(Count("width", 1, 4), In("s", GroupWidth::kCountOperand), In("map", GroupWidth::kTwo), Out("out", GroupWidth::kCountOperand))},
  {Opcode::kDistribute, "distribute", Unit::kSxm, kSxmLanes, kT1, "In each superlane, lane i of out = lane m_i, m_i being nibble i of {high, low}, or zero where bit i of `zero` is set.", OPERANDS(Count("width", 1, 4), OperandInfo{"low", OperandKind::kImmediate}, OperandInfo{"high", OperandKind::kImmediate}, Count("zero", 0, 65535), In("s", GroupWidth::kCountOperand), Out("out", GroupWidth::kCountOperand))},
  {Opcode::kRotate, "rotate", Unit::kSxm, kSxmTranspose, kT1, "Takes the first n*n lanes of each superlane as an n x n matrix; output stream i*n+j (of n*n, in an aligned group of 16) has element (r, c) = (r+i, c+j) modulo n; other lanes are zero.", OPERANDS(Count("n", 3, 4), In("s"), Out("out", GroupWidth::kSixteen))},
  {Opcode::kTranspose, "transpose", Unit::kSxm, kSxmTranspose, kT1, "In each superlane, lane i of output stream j = lane j of input stream i, over 16 streams.", OPERANDS(In("s", GroupWidth::kSixteen), Out("out", GroupWidth::kSixteen))},

  {Opcode::kSend, "send", Unit::kC2c, kAnyQueueClass, kT1, "Sends a stream's vector over the link.", OPERANDS(In("s"))},
  {Opcode::kReceive, "receive", Unit::kC2c, kAnyQueueClass, kT1, "Takes the oldest vector that arrived on the link and stores it in word `address` of MEM slice `slice`.", OPERANDS(OperandInfo{"slice", OperandKind::kSlice, 0, kSlices - 1}, Address(), Stride())},
  {Opcode::kTransmit, "transmit", Unit::kC2c, kAnyQueueClass, kT2, "Sends a start notice to the chip at the other end; it takes a link slot and carries no data.", NO_OPERANDS},
};
// clang-format on

int GroupAlignment(int count) { return count > 4 ? 16 : count == 3 ? 4 : count; }

std::string CheckStream(const OperandInfo& o, int32_t value, int count, Opcode op) {
  const bool optional =
      o.kind == OperandKind::kStreamInOrImmediate || o.kind == OperandKind::kStreamOutOrNone;
  if (optional && value == kNoStream) return "";
  if (value < 0 || value > 63) return absl::StrCat(o.name, " = ", value, " is no stream (0..63)");
  // LW's group need only start on a multiple of its element width.
  const int align = op == Opcode::kLw ? 1 : GroupAlignment(count);
  if (value % align != 0) {
    return absl::StrCat(o.name, " = ", value, " is not aligned to a group of ", align, " streams");
  }
  if (value % kStreamsPerDirection + count > kStreamsPerDirection) {
    return absl::StrCat(o.name, " = ", value, " with ", count, " streams crosses the direction");
  }
  return "";
}

}  // namespace

const OpInfo& Info(Opcode op) { return kTable[static_cast<int>(op)]; }

std::optional<Opcode> OpcodeByName(absl::string_view name) {
  for (const OpInfo& info : kTable) {
    if (info.name == name) return info.op;
  }
  return std::nullopt;
}

int OperandIndex(Opcode op, absl::string_view name) {
  const OpInfo& info = Info(op);
  for (int i = 0; i < info.operand_count; ++i) {
    if (info.operands[i].name == name) return i;
  }
  LOCKSTEP_CHECK(false, "%s has no operand %s", info.name, name);
  return -1;
}

int StreamCount(const Instruction& instr, int index) {
  const OpInfo& info = Info(instr.op);
  const OperandInfo& o = info.operands[index];
  if (instr.arg[index] == kNoStream) return 0;
  switch (o.width) {
    case GroupWidth::kOne: return 1;
    case GroupWidth::kTwo: return 2;
    case GroupWidth::kFour: return 4;
    case GroupWidth::kSixteen: return 16;
    case GroupWidth::kOfType: return TypeBytes(instr.arg[0]);
    case GroupWidth::kOfType2: return TypeBytes(instr.arg[1]);
    case GroupWidth::kCountOperand: return instr.op == Opcode::kLw ? instr.arg[3] : instr.arg[0];
  }
  return 0;
}

std::string Validate(const Instruction& instr) {
  const OpInfo& info = Info(instr.op);
  for (int i = 0; i < info.operand_count; ++i) {
    const OperandInfo& o = info.operands[i];
    const int32_t v = instr.arg[i];
    switch (o.kind) {
      case OperandKind::kImmediate: break;
      case OperandKind::kCount:
      case OperandKind::kSigned:
      case OperandKind::kType:
      case OperandKind::kAddress:
      case OperandKind::kSlice:
        if (v < o.min || v > o.max) {
          return absl::StrCat(info.name, ": ", o.name, " = ", v, " is not in ", o.min, "..", o.max);
        }
        break;
      default:
        if (std::string s = CheckStream(o, v, StreamCount(instr, i), instr.op); !s.empty()) {
          return absl::StrCat(info.name, ": ", s);
        }
    }
  }
  for (int i = info.operand_count; i < kMaxOperands; ++i) {
    if (instr.arg[i] != 0) return absl::StrCat(info.name, ": operand ", i, " does not exist");
  }
  const bool mxm = info.unit == Unit::kMxm;
  if (mxm && instr.arg[0] != kTypeI8 && instr.arg[0] != kTypeF16) {
    return absl::StrCat(info.name, ": the array takes i8 or f16");
  }
  if (instr.op == Opcode::kLw && instr.arg[0] == kTypeF16) {
    if (instr.arg[3] % 2 != 0) return "lw: f16 takes whole stream pairs";
    if (instr.arg[1] >= 160) return "lw: f16 rows start below 160";
  }
  if (instr.joined && info.unit != Unit::kMem) {
    return absl::StrCat(info.name, ": only MEM instructions join");
  }
  return "";
}

}  // namespace lockstep
