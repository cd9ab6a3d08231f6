#pragma once
// Random valid instructions and programs for property tests: drawn from the table, seeded, the
// same on every host.

#include <cstdint>
#include <random>

#include "chip/program.h"

namespace lockstep {

inline int32_t RandomBetween(std::mt19937_64& rng, int64_t low, int64_t high) {
  return static_cast<int32_t>(low + static_cast<int64_t>(rng() % (high - low + 1)));
}

// Draws until valid: alignment and the like are Validate's business.
inline Instruction RandomInstruction(std::mt19937_64& rng, Opcode op) {
  const OpInfo& info = Info(op);
  for (;;) {
    Instruction instr{op, info.unit == Unit::kMem && rng() % 4 == 0, {}};
    for (int i = 0; i < info.operand_count; ++i) {
      const OperandInfo& o = info.operands[i];
      const bool imm = o.kind == OperandKind::kImmediate;
      instr.arg[i] = imm ? static_cast<int32_t>(rng()) : RandomBetween(rng, o.min, o.max);
      if (imm && rng() % 2 == 0) instr.arg[i] &= 0xff;
      const bool after_stream =
          i > 0 && info.operands[i - 1].kind == OperandKind::kStreamInOrImmediate;
      if (after_stream && rng() % 2 == 0) instr.arg[i - 1] = kNoStream;
      if (after_stream && instr.arg[i - 1] != kNoStream) instr.arg[i] = 0;
    }
    if (Validate(instr).empty()) return instr;
  }
}

// `rounds` instructions of every opcode, each in a random queue that takes it.
inline Program RandomProgram(uint64_t seed, int rounds) {
  std::mt19937_64 rng(seed);
  Program program;
  program.fetched = seed % 2 == 1;
  for (int n = 0; n < rounds * kOpcodes; ++n) {
    const Opcode op = static_cast<Opcode>(n % kOpcodes);
    int queue = RandomBetween(rng, 0, kQueues - 1);
    while (!QueueTakes(queue, op)) queue = RandomBetween(rng, 0, kQueues - 1);
    program.queues[queue].push_back(RandomInstruction(rng, op));
  }
  return program;
}

}  // namespace lockstep
