#pragma once
// The syntax that printing (chip/text.cc) and parsing (chip/text_parser.cc) of programs share.
// Internal to the text form; others include chip/text.h.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "chip/isa.h"

namespace lockstep {

std::optional<int> TypeByName(absl::string_view name);

// The type in which immediates of `instr` are written: its first type operand, else int32.
int ImmediateType(const Instruction& instr);

// `#1.5`, `#-3` or `#0x7fc00000`: operand `index` of `instr`.
std::string ImmediateText(const Instruction& instr, int index);

// Whether operand `index` is written in the place of the stream operand before it.
bool IsImmediateOfStream(const OpInfo& info, int index);

// The bits of decimal `text` rounded to f16 or f32; nullopt if it is no finite number of the type.
std::optional<uint32_t> ParseFloat(absl::string_view text, int type);

}  // namespace lockstep
