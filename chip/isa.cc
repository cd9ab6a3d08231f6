// The one table of instructions (chip/isa.h) and what follows from it.
#include "chip/isa.h"

#include <initializer_list>

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

constexpr auto kT = GroupWidth::kOfType;

constexpr OpInfo Row(Opcode op, absl::string_view name, std::optional<Unit> unit,
                     uint8_t queue_class, absl::string_view origin, absl::string_view semantics,
                     std::initializer_list<OperandInfo> operands) {
  OpInfo info{op, name, unit, queue_class, origin, semantics, {}, 0};
  for (const OperandInfo& o : operands) info.operands[info.operand_count++] = o;
  return info;
}
constexpr OpInfo Binary(Opcode op, absl::string_view name, absl::string_view origin,
                        absl::string_view semantics) {
  return Row(op, name, Unit::kVxm, kAnyQueueClass, origin, semantics,
             {Type(), Count("saturate", 0, 1), In("a", kT), InOrImm(), Immediate(), Out("out", kT)});
}
constexpr OpInfo Unary(Opcode op, absl::string_view name, absl::string_view origin,
                       absl::string_view semantics) {
  return Row(op, name, Unit::kVxm, kAnyQueueClass, origin, semantics,
             {Type(), In("a", kT), Out("out", kT)});
}

// clang-format off
constexpr OpInfo kTable[kOpcodes] = {
  Row(Opcode::kNop, "nop", std::nullopt, kAnyQueueClass, kT1, "Lets n cycles pass.", {Count("n", 1, 65535)}),
  Row(Opcode::kRepeat, "repeat", std::nullopt, kAnyQueueClass, kT1, "Dispatches the instruction before it (a joined pair as one) n more times, d cycles apart; operands called stride advance each time.", {Count("n", 1, 65535), Count("d", 1, 65535)}),
  Row(Opcode::kIfetch, "ifetch", std::nullopt, kAnyQueueClass, kT1, "Takes 640 B of this queue's text from two successive vectors of a stream.", {In("s")}),
  Row(Opcode::kSync, "sync", std::nullopt, kAnyQueueClass, kT1, "Parks the queue until the next notify reaches it.", {}),
  Row(Opcode::kNotify, "notify", std::nullopt, kAnyQueueClass, kT1, "Releases every parked queue a fixed time later.", {}),
  Row(Opcode::kConfig, "config", std::nullopt, kAnyQueueClass, kT1, "Powers n superlanes; MEM reads give zero in the others from then on.", {Count("superlanes", 1, kSuperlanes)}),
  Row(Opcode::kDeskew, "deskew", std::nullopt, kAnyQueueClass, kT2, "Stops the queue until the hardware-aligned counter overflows.", {}),
  Row(Opcode::kRuntimeDeskew, "runtime_deskew", std::nullopt, kAnyQueueClass, kT2, "Stalls t cycles, corrected by the drift between the software and hardware aligned counters.", {Count("t", 1, 65535)}),
  Row(Opcode::kHac, "hac", std::nullopt, kAnyQueueClass, kT2, "Puts the hardware-aligned counter (0..251) on every lane of a stream.", {Out("out")}),
  Row(Opcode::kSac, "sac", std::nullopt, kAnyQueueClass, kT2, "Puts the software-aligned counter (0..251) on every lane of a stream.", {Out("out")}),

  Row(Opcode::kRead, "read", Unit::kMem, kAnyQueueClass, kT1, "Puts word `address` of the slice on a stream.", {Address(), Stride(), Out("out")}),
  Row(Opcode::kWrite, "write", Unit::kMem, kAnyQueueClass, kT1, "Stores a stream's vector in word `address` of the slice.", {Address(), Stride(), In("s")}),
  Row(Opcode::kGather, "gather", Unit::kMem, kAnyQueueClass, kT1, "Each superlane reads word address + map, map being the little-endian 16 bits in its first two lanes of the map stream; 0xffff reads zero.", {Address(), Stride(), In("map"), Out("out")}),
  Row(Opcode::kScatter, "scatter", Unit::kMem, kAnyQueueClass, kT1, "Each superlane stores to word address + map (see gather); 0xffff stores nothing.", {Address(), Stride(), In("map"), In("s")}),

  Binary(Opcode::kAdd, "add", kT1, "out = a + b."),
  Binary(Opcode::kSub, "sub", kT1, "out = a - b."),
  Binary(Opcode::kMul, "mul", kT1, "out = a * b."),
  Binary(Opcode::kMax, "max", kOurs, "out = the larger of a and b."),
  Binary(Opcode::kMin, "min", kOurs, "out = the smaller of a and b."),
  Binary(Opcode::kCmpEq, "cmpeq", kOurs, "out = all ones where a == b, else zero."),
  Binary(Opcode::kCmpGt, "cmpgt", kOurs, "out = all ones where a > b, else zero."),
  Binary(Opcode::kCmpGe, "cmpge", kOurs, "out = all ones where a >= b, else zero."),
  Binary(Opcode::kMask, "mask", kT1, "out = a where b has any bit set, else zero."),
  Binary(Opcode::kAnd, "and", kOurs, "out = a & b, by bits."),
  Binary(Opcode::kOr, "or", kOurs, "out = a | b, by bits."),
  Binary(Opcode::kXor, "xor", kOurs, "out = a ^ b, by bits."),
  Unary(Opcode::kNegate, "negate", kT1, "out = -a."),
  Unary(Opcode::kAbs, "abs", kOurs, "out = |a|."),
  Unary(Opcode::kRelu, "relu", kT1, "out = max(a, 0)."),
  Unary(Opcode::kTanh, "tanh", kT1, "out = tanh(a)."),
  Unary(Opcode::kExp, "exp", kT1, "out = e to the a."),
  Unary(Opcode::kRsqrt, "rsqrt", kT1, "out = 1 / sqrt(a)."),
  Row(Opcode::kConvert, "convert", Unit::kVxm, kAnyQueueClass, kT1, "out = a as another type, rounded once.", {Type("from"), Type("to"), In("a", GroupWidth::kOfType), Out("out", GroupWidth::kOfType2)}),

  Row(Opcode::kLw, "lw", Unit::kMxm, kMxmLw, kT1, "Loads `count` streams into the weight buffer. i8: stream i is row `row + i` (320 weights). f16: stream pair i holds rows `row + i` (lanes 0..159) and `row + i + 160` (lanes 160..319) of the hemisphere's tandem planes.", {Type(), Count("row", 0, 319), Signed("stride", 0, 320), Count("count", 1, 16), In("s", GroupWidth::kCountOperand)}),
  Row(Opcode::kIw, "iw", Unit::kMxm, kMxmIw, kT1, "Installs the weight buffer in the array; rows not loaded since the last install become zero; the buffer is empty afterwards.", {Type()}),
  Row(Opcode::kAbcLoad, "abc.load", Unit::kMxm, kMxmAbc, kT1, "Keeps an activation vector in entry `entry` of the activation buffer.", {Type(), Count("entry", 0, 63), Signed("stride", -64, 64), In("s", kT)}),
  Row(Opcode::kAbcFeed, "abc.feed", Unit::kMxm, kMxmAbc, kT1, "Feeds a kept activation to the array. f16: entry / 2 is the vector and entry % 2 picks its lanes 0..159 or 160..319; i8: the whole vector `entry`.", {Type(), Count("entry", 0, 127), Signed("stride", -128, 128)}),
  Row(Opcode::kAbcStream, "abc.stream", Unit::kMxm, kMxmAbc, kT1, "Feeds an activation straight from a stream. f16: `half` picks lanes 0..159 or 160..319.", {Type(), Count("half", 0, 1), In("s", kT)}),
  Row(Opcode::kAcc, "acc", Unit::kMxm, kMxmAcc, kT1, "Takes the result that leaves the array in this cycle; adds it to (or, add = 0, puts it in) accumulator `entry`; puts the accumulator on four streams unless out is none.", {Type(), Count("entry", 0, 15), Signed("stride", -15, 15), Count("add", 0, 1), OperandInfo{"out", OperandKind::kStreamOutOrNone, -1, 63, GroupWidth::kFour}}),

  Row(Opcode::kShift, "shift", Unit::kSxm, kSxmLanes, kT1, "Moves every element n lanes up (n > 0) or down; wrap = 1 brings in the other end, else zeros.", {Count("width", 1, 4), Signed("n", -319, 319), Count("wrap", 0, 1), In("s", GroupWidth::kCountOperand), Out("out", GroupWidth::kCountOperand)}),
  Row(Opcode::kSelect, "select", Unit::kSxm, kSxmLanes, kT1, "out = a where the mask stream's lane is not zero, else b.", {Count("width", 1, 4), In("a", GroupWidth::kCountOperand), In("b", GroupWidth::kCountOperand), In("mask"), Out("out", GroupWidth::kCountOperand)}),
  Row(Opcode::kPermute, "permute", Unit::kSxm, kSxmLanes, kT1, "out lane i = lane map[i]; the map is 16 bits a lane on a stream pair and must be a bijection.", {Count("width", 1, 4), In("s", GroupWidth::kCountOperand), In("map", GroupWidth::kTwo), Out("out", GroupWidth::kCountOperand)}),
  Row(Opcode::kDistribute, "distribute", Unit::kSxm, kSxmLanes, kT1, "In each superlane, lane i of out = lane m_i, m_i being nibble i of {high, low}, or zero where bit i of `zero` is set.", {Count("width", 1, 4), OperandInfo{"low", OperandKind::kImmediate}, OperandInfo{"high", OperandKind::kImmediate}, Count("zero", 0, 65535), In("s", GroupWidth::kCountOperand), Out("out", GroupWidth::kCountOperand)}),
  Row(Opcode::kRotate, "rotate", Unit::kSxm, kSxmTranspose, kT1, "Takes the first n*n lanes of each superlane as an n x n matrix; output stream i*n+j (of n*n, in an aligned group of 16) has element (r, c) = (r+i, c+j) modulo n; other lanes are zero.", {Count("n", 3, 4), In("s"), Out("out", GroupWidth::kSixteen)}),
  Row(Opcode::kTranspose, "transpose", Unit::kSxm, kSxmTranspose, kT1, "In each superlane, lane i of output stream j = lane j of input stream i, over 16 streams.", {In("s", GroupWidth::kSixteen), Out("out", GroupWidth::kSixteen)}),

  Row(Opcode::kSend, "send", Unit::kC2c, kAnyQueueClass, kT1, "Sends a stream's vector over the link.", {In("s")}),
  Row(Opcode::kReceive, "receive", Unit::kC2c, kAnyQueueClass, kT1, "Takes the oldest vector that arrived on the link and stores it in word `address` of MEM slice `slice`.", {OperandInfo{"slice", OperandKind::kSlice, 0, kSlices - 1}, Address(), Stride()}),
  Row(Opcode::kTransmit, "transmit", Unit::kC2c, kAnyQueueClass, kT2, "Sends a start notice to the chip at the other end; it takes a link slot and carries no data.", {}),
};
// clang-format on

// What no single operand shows.
std::string CheckSpecial(const Instruction& instr, const OpInfo& info) {
  for (int i = 0; i < info.operand_count; ++i) {
    if (info.operands[i].kind == OperandKind::kStreamInOrImmediate && instr.arg[i] != kNoStream &&
        instr.arg[i + 1] != 0) {
      return absl::StrCat("imm = ", instr.arg[i + 1], " beside stream ", instr.arg[i]);
    }
    if (info.operands[i].name == "width" && instr.arg[i] == 3) return "width = 3 is not 1, 2 or 4";
  }
  const int32_t type = instr.arg[0];
  if (info.unit == Unit::kMxm && type != kTypeI8 && type != kTypeF16) {
    return absl::StrCat("type ", type, " is not one of the array's (i8, f16)");
  }
  if (instr.op == Opcode::kLw) {
    const int32_t row = instr.arg[1], count = instr.arg[3];
    const bool half = type == kTypeF16;
    if (half && count % 2 != 0) return absl::StrCat("count = ", count, ": f16 takes stream pairs");
    const int32_t rows = half ? 160 : 320, end = row + (half ? count / 2 : count);
    if (end > rows) return absl::StrCat("row ", end - 1, " is not in 0..", rows - 1);
  }
  return "";
}

int GroupAlignment(int count) { return count > 4 ? 16 : count == 3 ? 4 : count; }

std::string CheckStream(const OperandInfo& o, int32_t value, int count, int align) {
  const bool optional =
      o.kind == OperandKind::kStreamInOrImmediate || o.kind == OperandKind::kStreamOutOrNone;
  if (optional && value == kNoStream) return "";
  if (value < 0 || value > 63) return absl::StrCat(o.name, " = ", value, " is no stream (0..63)");
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
  LOCKSTEP_FAIL("%s has no operand %s", info.name, name);
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
        const int count = StreamCount(instr, i);
        // LW's group need only start on a multiple of its element width.
        const int align = instr.op == Opcode::kLw ? TypeBytes(instr.arg[0]) : GroupAlignment(count);
        if (std::string s = CheckStream(o, v, count, align); !s.empty()) {
          return absl::StrCat(info.name, ": ", s);
        }
    }
  }
  for (int i = info.operand_count; i < kMaxOperands; ++i) {
    if (instr.arg[i] != 0) return absl::StrCat(info.name, ": operand ", i, " does not exist");
  }
  if (std::string s = CheckSpecial(instr, info); !s.empty()) {
    return absl::StrCat(info.name, ": ", s);
  }
  if (instr.joined && info.unit != Unit::kMem) {
    return absl::StrCat(info.name, ": only MEM instructions join");
  }
  return "";
}

}  // namespace lockstep
