#pragma once
// The text form of a Program. All of it follows from the table of chip/isa.cc.
//
//   ; two words are added                        comment, to the end of the line
//   .fetched                                     queues start with 1,280 B (Program::fetched)
//   .word 3 17 = 0c                              SRAM before the run: slice 3, word 17
//   mem3:                                        the queue of what follows
//     read 17, 0, e4                             name and operands, in the table's order
//     & write 4097, 0, e8                        joined to the instruction before it
//   vxm0:
//     nop 5
//     add f32, 0, e0, #1.5, w4                   stream b, or an immediate
//   .dump 3 4097 2                               print words 4097 and 4098 after the run
//
// Operands: numbers (decimal or 0x..), types `i8 i16 i32 f16 f32`, streams `e0`..`e31` and
// `w0`..`w31` (the first of a group) or `none`. Immediates start with #: decimal, of the
// instruction's type (int32 if it has none), or the 32 bits as #0x...
// `.word` takes 1..320 bytes of hex, lane 0 first; fewer than 320 must divide it and repeat.
//
// Assemble(Disassemble(p)) == p for every valid program.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "chip/isa.h"
#include "chip/program.h"
#include "chip/vector.h"

namespace lockstep {

// A word of SRAM that holds `value` when the program starts.
struct SramWord {
  int slice = 0;    // 0..87
  int address = 0;  // 0..8191
  Vector value;
  bool operator==(const SramWord&) const = default;
};

// Words of SRAM to be shown after the run. address + count <= 8192.
struct SramDump {
  int slice = 0;
  int address = 0;
  int count = 1;
  bool operator==(const SramDump&) const = default;
};

// A program with the data around it; `.word`s and `.dump`s stand in their order in the text.
struct ProgramFile {
  Program program;
  std::vector<SramWord> words;
  std::vector<SramDump> dumps;
  bool operator==(const ProgramFile&) const = default;
};

// An error names line, column (from 1) and the bad value. What is accepted is valid: operands in
// range (Validate) and every instruction in a queue that takes it. Time and memory are linear in
// the length of the text.
absl::StatusOr<ProgramFile> AssembleFile(absl::string_view text);
// As AssembleFile, but `.word` and `.dump` are errors.
absl::StatusOr<Program> Assemble(absl::string_view text);

std::string Disassemble(const Program& program);
std::string Disassemble(const ProgramFile& file);

// `read 12, 0, e5`. Never fails: an operand out of range prints as its number.
std::string InstructionText(const Instruction& instr);

// `e5`, `w31`; `none` for kNoStream. A number that is neither prints as it is.
std::string StreamText(int stream);

}  // namespace lockstep
