#pragma once
// The instruction set: what every opcode is called, which queues issue it, what its operands mean.
//
// The instructions are the published ones (ISCA'20 Table I, ISCA'22 Table 1); the encoding and
// the exact operands are ours, since none were published. One table (chip/isa.cc) is the only
// place that knows them: text form, binary form, engines and docs/isa.md all read it.
//
// A chip has 144 instruction queues (chip/queue.h). An instruction of a queue dispatches at a
// cycle known from the text alone; it samples its input streams at its unit's position in that
// cycle and puts results on output streams at `dispatch + d_func` (ISCA'20 Eq. 4; the stagger of
// one cycle per superlane is common to all units and cancels, so all times are superlane 0's).

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "chip/geometry.h"
#include "chip/vector.h"

namespace lockstep {

enum class Unit : uint8_t { kMem, kVxm, kMxm, kSxm, kC2c };

enum class Opcode : uint8_t {
  // ICU: every queue takes these.
  kNop, kRepeat, kIfetch, kSync, kNotify, kConfig, kDeskew, kRuntimeDeskew, kHac, kSac,
  // MEM
  kRead, kWrite, kGather, kScatter,
  // VXM
  kAdd, kSub, kMul, kMax, kMin, kCmpEq, kCmpGt, kCmpGe, kMask, kAnd, kOr, kXor,
  kNegate, kAbs, kRelu, kTanh, kExp, kRsqrt, kConvert,
  // MXM: LW and IW fill and install weights, ABC feeds activations, ACC takes results.
  kLw, kIw, kAbcLoad, kAbcFeed, kAbcStream, kAcc,
  // SXM
  kShift, kSelect, kPermute, kDistribute, kRotate, kTranspose,
  // C2C
  kSend, kReceive, kTransmit,
};
inline constexpr int kOpcodes = static_cast<int>(Opcode::kTransmit) + 1;

// What an operand is; decides its text form, its legal range and how engines use it.
enum class OperandKind : uint8_t {
  kCount,  // plain number in [min, max]
  kSigned,  // signed number in [min, max]
  kType,  // a NumericType: i8 i16 i32 f16 f32
  kStreamIn,   // first stream of an aligned group that is read; 0..63 = direction * 32 + index
  kStreamOut,  // first stream of an aligned group that is written
  kStreamInOrImmediate,  // as kStreamIn, or kNoStream: then the kImmediate operand stands instead
  kStreamOutOrNone,      // as kStreamOut, or kNoStream
  kImmediate,  // 32 bits, of the instruction's type; 0 where an operand before it is a stream
  kAddress,    // word of the queue's MEM slice, 0..8191 (bit 12 is the bank)
  kSlice,      // MEM slice 0..87
};
inline constexpr int32_t kNoStream = -1;

// How many streams a stream operand covers.
enum class GroupWidth : uint8_t { kOne, kTwo, kFour, kSixteen, kOfType, kOfType2, kCountOperand };

struct OperandInfo {
  absl::string_view name;
  OperandKind kind;
  int32_t min = 0, max = 0;            // of kCount and kSigned
  GroupWidth width = GroupWidth::kOne;  // of streams
};

inline constexpr int kMaxOperands = 8;

struct Instruction {
  Opcode op = Opcode::kNop;
  // Dispatches in the same cycle as the instruction before it. MEM only: one read-like and one
  // write-like instruction in different banks (pseudo dual port, ISCA'20 section III-B).
  bool joined = false;
  std::array<int32_t, kMaxOperands> arg{};  // in the order of the table; unused ones are 0
  bool operator==(const Instruction&) const = default;
};

struct OpInfo {
  Opcode op;
  absl::string_view name;  // in text: `read`, `abc.feed`
  std::optional<Unit> unit;  // absent: ICU, any queue
  uint8_t queue_class;    // which of the unit's queue kinds takes it (chip/queue.h); 255 = any
  absl::string_view origin;
  absl::string_view semantics;  // one sentence for docs/isa.md
  std::array<OperandInfo, kMaxOperands> operands;
  int operand_count;
};

const OpInfo& Info(Opcode op);
std::optional<Opcode> OpcodeByName(absl::string_view name);

// Index of the operand called `name`; CHECKs that it exists.
int OperandIndex(Opcode op, absl::string_view name);

// Streams covered by stream operand `index` of `instr` (0 if it stands for no stream).
int StreamCount(const Instruction& instr, int index);

// Empty if every operand is in range and every group is aligned, else what is wrong.
std::string Validate(const Instruction& instr);

// Element types of VXM and MXM instructions, as operand values.
inline constexpr int kTypeI8 = 0, kTypeI16 = 1, kTypeI32 = 2, kTypeF16 = 3, kTypeF32 = 4;
constexpr int TypeBytes(int type) {
  return type == kTypeI8 ? 1 : type == kTypeI16 || type == kTypeF16 ? 2 : 4;
}

// Streams are numbered 0..63: eastward 0..31, westward 32..63.
constexpr int StreamNumber(Direction d, int index) {
  return static_cast<int>(d) * kStreamsPerDirection + index;
}
constexpr Direction StreamDirection(int stream) {
  return stream < kStreamsPerDirection ? Direction::kEast : Direction::kWest;
}

}  // namespace lockstep
