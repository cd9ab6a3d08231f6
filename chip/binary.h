#pragma once
// The binary form of instructions and programs. Ours: none was published. All numbers are
// little-endian; bit 0 is the lowest bit of byte 0.
//
//   instruction, 16 B    bits 0..6 opcode | bit 7 joined | operands in the table's order | zeros
//   operand              numbers: value - min, in the fewest bits that hold max - min
//                        streams: 6 bits; where none is allowed: 7 bits of stream + 1
//                        immediates: 32 bits
//
//   program    0  8 B   "LOCKSTEP"
//              8  u32   version, 1
//             12  u32   flags: bit 0 = the queues fetch their text (Program::fetched)
//             16  u32   instructions in queue 0, ... queue 143
//            592        the instructions, queue by queue, 16 B each
//
// docs/isa.md lists the fields of every instruction.

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "chip/isa.h"
#include "chip/program.h"

namespace lockstep {

inline constexpr absl::string_view kProgramMagic = "LOCKSTEP";
inline constexpr uint32_t kProgramVersion = 1;
inline constexpr int kProgramHeaderBytes = 16 + 4 * kQueues;

struct BitField {
  int offset = 0;
  int width = 0;
};

// Where operand `index` of `op` stands.
BitField OperandField(Opcode op, int index);
// Bits that `op` uses, opcode and joined bit included; at most 8 * kInstructionBytes.
int EncodedBits(Opcode op);

using InstructionCode = std::array<uint8_t, kInstructionBytes>;

// REQUIRES: Validate(instr) is empty.
InstructionCode EncodeInstruction(const Instruction& instr);
// An error names what is no opcode, not valid, or not zero where it must be. Exactly the codes
// that EncodeInstruction makes are accepted.
absl::StatusOr<Instruction> DecodeInstruction(const InstructionCode& code);

// REQUIRES: every instruction is valid.
std::string EncodeProgram(const Program& program);
// Strict: exactly the strings that EncodeProgram makes of programs whose queues take their
// instructions. Allocates no more than a small multiple of `bytes`.
absl::StatusOr<Program> DecodeProgram(absl::string_view bytes);

}  // namespace lockstep
