// Packing of instructions into bit fields and of programs into a container (chip/binary.h).
#include "chip/binary.h"

#include <algorithm>
#include <bit>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

constexpr int kOpcodeBits = 7, kJoinedBit = 7, kOperandsStart = 8;
constexpr uint32_t kFlagFetched = 1;
static_assert(kOpcodes <= 1 << kOpcodeBits);

// Of the value itself for immediates (all 32 bits), else of value - Lowest().
int Width(const OperandInfo& o) {
  switch (o.kind) {
    case OperandKind::kImmediate: return 32;
    case OperandKind::kStreamIn:
    case OperandKind::kStreamOut: return 6;
    case OperandKind::kStreamInOrImmediate:
    case OperandKind::kStreamOutOrNone: return 7;
    default: return std::bit_width(static_cast<uint32_t>(o.max - o.min));
  }
}

int32_t Lowest(const OperandInfo& o) { return o.kind == OperandKind::kImmediate ? 0 : o.min; }

void SetBits(InstructionCode& code, BitField f, uint32_t value) {
  for (int i = 0; i < f.width; ++i) {
    const int bit = f.offset + i;
    code[bit / 8] |= static_cast<uint8_t>(((value >> i) & 1u) << (bit % 8));
  }
}

uint32_t GetBits(const InstructionCode& code, BitField f) {
  uint32_t value = 0;
  for (int i = 0; i < f.width; ++i) {
    const int bit = f.offset + i;
    value |= ((uint32_t{code[bit / 8]} >> (bit % 8)) & 1u) << i;
  }
  return value;
}

void AppendU32(std::string& out, uint32_t value) {
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

// REQUIRES: bytes.size() >= offset + 4.
uint32_t ReadU32(absl::string_view bytes, size_t offset) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value |= uint32_t{static_cast<uint8_t>(bytes[offset + i])} << (8 * i);
  }
  return value;
}

absl::Status CheckHeader(absl::string_view bytes) {
  if (bytes.size() < kProgramHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "program of ", bytes.size(), " B is shorter than its header of ", kProgramHeaderBytes));
  }
  if (bytes.substr(0, 8) != kProgramMagic) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a program: starts with `", absl::CHexEscape(bytes.substr(0, 8)), "`"));
  }
  if (const uint32_t v = ReadU32(bytes, 8); v != kProgramVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("program of version ", v, ", this reads ", kProgramVersion));
  }
  if (const uint32_t flags = ReadU32(bytes, 12); flags & ~kFlagFetched) {
    return absl::InvalidArgumentError(absl::StrCat("program with unknown flags ", flags));
  }
  uint64_t instructions = 0;
  for (int q = 0; q < kQueues; ++q) instructions += ReadU32(bytes, 16 + 4 * q);
  if (const uint64_t want = kProgramHeaderBytes + instructions * kInstructionBytes;
      want != bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("program of ", bytes.size(), " B should have ",
                                                   want, " B for ", instructions,
                                                   " instructions"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Instruction> DecodeAt(absl::string_view bytes, size_t offset, int queue) {
  InstructionCode code;
  std::copy_n(bytes.data() + offset, kInstructionBytes, code.begin());
  absl::StatusOr<Instruction> instr = DecodeInstruction(code);
  std::string why;
  if (!instr.ok()) {
    why = std::string(instr.status().message());
  } else if (!QueueTakes(queue, instr->op)) {
    why = absl::StrCat("it does not issue ", Info(instr->op).name);
  } else {
    return instr;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("byte ", offset, ", queue ", QueueName(queue), ": ", why));
}

}  // namespace

BitField OperandField(Opcode op, int index) {
  const OpInfo& info = Info(op);
  LOCKSTEP_CHECK(index >= 0 && index < info.operand_count, "%s has no operand %d", info.name,
                 index);
  BitField field{kOperandsStart, 0};
  for (int i = 0; i <= index; ++i) {
    field.offset += field.width;
    field.width = Width(info.operands[i]);
  }
  return field;
}

int EncodedBits(Opcode op) {
  const int n = Info(op).operand_count;
  if (n == 0) return kOperandsStart;
  const BitField last = OperandField(op, n - 1);
  return last.offset + last.width;
}

InstructionCode EncodeInstruction(const Instruction& instr) {
  const std::string bad = Validate(instr);
  LOCKSTEP_CHECK(bad.empty(), "encoding of %s", bad);
  const OpInfo& info = Info(instr.op);
  InstructionCode code{};
  SetBits(code, {0, kOpcodeBits}, static_cast<uint32_t>(instr.op));
  SetBits(code, {kJoinedBit, 1}, instr.joined ? 1 : 0);
  BitField field{kOperandsStart, 0};
  for (int i = 0; i < info.operand_count; ++i) {
    field = {field.offset + field.width, Width(info.operands[i])};
    SetBits(code, field,
            static_cast<uint32_t>(instr.arg[i]) - static_cast<uint32_t>(Lowest(info.operands[i])));
  }
  return code;
}

absl::StatusOr<Instruction> DecodeInstruction(const InstructionCode& code) {
  const uint32_t op = GetBits(code, {0, kOpcodeBits});
  if (op >= kOpcodes) return absl::InvalidArgumentError(absl::StrCat("no opcode ", op));
  Instruction instr{static_cast<Opcode>(op), GetBits(code, {kJoinedBit, 1}) != 0, {}};
  const OpInfo& info = Info(instr.op);
  BitField field{kOperandsStart, 0};
  for (int i = 0; i < info.operand_count; ++i) {
    field = {field.offset + field.width, Width(info.operands[i])};
    instr.arg[i] = static_cast<int32_t>(GetBits(code, field) +
                                        static_cast<uint32_t>(Lowest(info.operands[i])));
  }
  for (int bit = field.offset + field.width; bit < 8 * kInstructionBytes; ++bit) {
    if (GetBits(code, {bit, 1}) != 0) {
      return absl::InvalidArgumentError(absl::StrCat(info.name, ": bit ", bit, " is not zero"));
    }
  }
  if (std::string bad = Validate(instr); !bad.empty()) return absl::InvalidArgumentError(bad);
  return instr;
}

std::string EncodeProgram(const Program& program) {
  std::string out(kProgramMagic);
  AppendU32(out, kProgramVersion);
  AppendU32(out, program.fetched ? kFlagFetched : 0);
  for (const auto& queue : program.queues) AppendU32(out, static_cast<uint32_t>(queue.size()));
  for (const auto& queue : program.queues) {
    for (const Instruction& instr : queue) {
      const InstructionCode code = EncodeInstruction(instr);
      out.append(code.begin(), code.end());
    }
  }
  return out;
}

absl::StatusOr<Program> DecodeProgram(absl::string_view bytes) {
  RETURN_IF_ERROR(CheckHeader(bytes));
  Program program;
  program.fetched = (ReadU32(bytes, 12) & kFlagFetched) != 0;
  size_t offset = kProgramHeaderBytes;
  for (int q = 0; q < kQueues; ++q) {
    const uint32_t count = ReadU32(bytes, 16 + 4 * static_cast<size_t>(q));
    program.queues[q].reserve(count);
    for (uint32_t i = 0; i < count; ++i, offset += kInstructionBytes) {
      ASSIGN_OR_RETURN(program.queues[q].emplace_back(), DecodeAt(bytes, offset, q));
    }
  }
  return program;
}

}  // namespace lockstep
