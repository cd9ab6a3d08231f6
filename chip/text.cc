// Printing of programs, and the operand syntax shared with the parser (chip/text.h).
#include "chip/text.h"

#include <bit>
#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/half.h"
#include "chip/text_syntax.h"

namespace lockstep {
namespace {

constexpr absl::string_view kTypeNames[] = {"i8", "i16", "i32", "f16", "f32"};

std::string OperandText(const Instruction& instr, int index) {
  const OpInfo& info = Info(instr.op);
  const int32_t v = instr.arg[index];
  switch (info.operands[index].kind) {
    case OperandKind::kType:
      return v >= 0 && v <= kTypeF32 ? std::string(kTypeNames[v]) : absl::StrCat(v);
    case OperandKind::kStreamIn:
    case OperandKind::kStreamOut:
    case OperandKind::kStreamOutOrNone:
      return StreamText(v);
    case OperandKind::kStreamInOrImmediate:
      return v == kNoStream ? ImmediateText(instr, index + 1) : StreamText(v);
    case OperandKind::kImmediate:
      return ImmediateText(instr, index);
    case OperandKind::kCount:
    case OperandKind::kSigned:
    case OperandKind::kAddress:
    case OperandKind::kSlice:
      return absl::StrCat(v);
  }
  return "";
}

// The shortest period of the word's bytes that `.word` can repeat.
std::string WordText(const Vector& value) {
  for (int period = 1; period < kVectorBytes; ++period) {
    bool repeats = kVectorBytes % period == 0;
    for (int i = period; repeats && i < kVectorBytes; ++i) {
      repeats = value.bytes[i] == value.bytes[i - period];
    }
    if (!repeats) continue;
    return absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(value.bytes.data()), period));
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(value.bytes.data()), kVectorBytes));
}

}  // namespace

int ImmediateType(const Instruction& instr) {
  const OpInfo& info = Info(instr.op);
  for (int i = 0; i < info.operand_count; ++i) {
    if (info.operands[i].kind == OperandKind::kType) return instr.arg[i];
  }
  return kTypeI32;
}

std::string ImmediateText(const Instruction& instr, int index) {
  const int32_t v = instr.arg[index];
  const int type = ImmediateType(instr);
  const std::string hex = absl::StrFormat("#0x%08x", static_cast<uint32_t>(v));
  if (type == kTypeF16 || type == kTypeF32) {
    const bool half = type == kTypeF16;
    if (half && (v < 0 || v > 0xffff)) return hex;
    const float value = half ? HalfToFloat(static_cast<uint16_t>(v)) : std::bit_cast<float>(v);
    if (!std::isfinite(value)) return hex;
    // 9 digits tell any two floats apart; fewer are nicer where they suffice.
    for (int digits = 1; digits < 9; ++digits) {
      const std::string text = absl::StrFormat("%.*g", digits, value);
      if (ParseFloat(text, type) == static_cast<uint32_t>(v)) return "#" + text;
    }
    return absl::StrFormat("#%.9g", value);
  }
  const int bits = type == kTypeI8 ? 8 : type == kTypeI16 ? 16 : 32;
  const bool fits = v >= -(int64_t{1} << (bits - 1)) && v < (int64_t{1} << (bits - 1));
  return fits ? absl::StrCat("#", v) : hex;
}

bool IsImmediateOfStream(const OpInfo& info, int index) {
  return index > 0 && info.operands[index - 1].kind == OperandKind::kStreamInOrImmediate;
}

std::optional<int> TypeByName(absl::string_view name) {
  for (int type = 0; type <= kTypeF32; ++type) {
    if (kTypeNames[type] == name) return type;
  }
  return std::nullopt;
}

std::string StreamText(int stream) {
  if (stream == kNoStream) return "none";
  if (stream < 0 || stream >= 2 * kStreamsPerDirection) return absl::StrCat(stream);
  return absl::StrCat(StreamDirection(stream) == Direction::kEast ? "e" : "w",
                      stream % kStreamsPerDirection);
}

std::string InstructionText(const Instruction& instr) {
  const OpInfo& info = Info(instr.op);
  std::string out = absl::StrCat(instr.joined ? "& " : "", info.name);
  for (int i = 0; i < info.operand_count; ++i) {
    if (IsImmediateOfStream(info, i)) continue;  // stands in the place of the stream
    absl::StrAppend(&out, i == 0 ? " " : ", ", OperandText(instr, i));
  }
  return out;
}

std::string Disassemble(const Program& program) {
  std::string out = program.fetched ? ".fetched\n" : "";
  for (int queue = 0; queue < kQueues; ++queue) {
    if (program.queues[queue].empty()) continue;
    absl::StrAppend(&out, QueueName(queue), ":\n");
    for (const Instruction& instr : program.queues[queue]) {
      absl::StrAppend(&out, "  ", InstructionText(instr), "\n");
    }
  }
  return out;
}

std::string Disassemble(const ProgramFile& file) {
  std::string out;
  for (const SramWord& w : file.words) {
    absl::StrAppend(&out, ".word ", w.slice, " ", w.address, " = ", WordText(w.value), "\n");
  }
  absl::StrAppend(&out, Disassemble(file.program));
  for (const SramDump& d : file.dumps) {
    absl::StrAppend(&out, ".dump ", d.slice, " ", d.address, " ", d.count, "\n");
  }
  return out;
}

}  // namespace lockstep
