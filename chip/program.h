#pragma once
// A Program: the text of one chip's 144 instruction queues, and its expansion into runs.
//
// Nothing on the chip branches, so the dispatch cycle of every instruction follows from the text.
// Dispatch() computes it once: NOP, REPEAT, SYNC and NOTIFY, DESKEW and joined pairs disappear and
// what stays is a list of runs, each one instruction dispatched `count` times, `period` apart.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chip/fault.h"
#include "chip/isa.h"
#include "chip/latency.h"
#include "chip/queue.h"

namespace lockstep {

struct Program {
  std::array<std::vector<Instruction>, kQueues> queues;
  // Whether the queues start with only their first 1,280 B of text and must fetch the rest with
  // ifetch (16 B an instruction, 640 B a fetch). Otherwise all text is in the queues from the start.
  bool fetched = false;
  bool operator==(const Program&) const = default;
};

inline constexpr int kInstructionBytes = 16;  // in SRAM: binary form, padded
inline constexpr int kQueueBytes = 1280;      // assumed depth: two fetches
inline constexpr int kFetchBytes = 640;

// One instruction dispatched at first, first + period, ..., count times in all.
struct Run {
  Instruction instr;
  int32_t queue;
  int32_t index;  // of the instruction in its queue
  int64_t first;
  int32_t count = 1;
  int32_t period = 1;

  int64_t last() const { return first + int64_t{count - 1} * period; }
  int64_t cycle(int64_t i) const { return first + i * period; }
};

// Operand `operand` at iteration i: operands followed by one called `stride` advance by it.
int32_t OperandAt(const Run& run, int operand, int64_t i);
// The instruction as dispatched at iteration i.
Instruction InstructionAt(const Run& run, int64_t i);

// The text of a queue of a fetched program that fetches: what its ifetches must bring.
struct QueueText {
  int32_t queue;
  std::string bytes;  // in binary form, from the first instruction on; kInstructionBytes each
};

struct Schedule {
  std::vector<Run> runs;  // by first cycle, then queue, then index
  int64_t end = 0;        // first cycle after the last dispatch of any queue
  int64_t dispatches = 0; // instructions dispatched, NOPs and REPEATs not counted
  int64_t text_bytes = 0; // of the program, REPEATs and NOPs counted
  std::vector<QueueText> texts;  // by queue; empty unless the program is fetched
};

struct DispatchContext {
  uint32_t chip = 0;
  int64_t hac_at_start = 0;   // hardware-aligned counter in cycle 0
  int64_t drift_cycles = 0;   // SAC - HAC, signed; what RUNTIME_DESKEW corrects
};

struct DispatchResult {
  Schedule schedule;
  std::optional<Fault> fault;  // then the schedule is empty
};

DispatchResult Dispatch(const Program& program, const ChipTiming& timing,
                        const DispatchContext& context = {});

}  // namespace lockstep
