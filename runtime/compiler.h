#pragma once
// Compile: from a plan and a stage to one chip's program on the layout of its SRAM.
//
// Every chip of the group runs the same instructions in the same cycles; chips differ in what their
// weight rows hold, and in which of their links leads to which other.
//
// One program serves every position of a run. Before each step the host writes the step's inputs
// (StepInputs), after it the host reads the logits.

#include <vector>

#include "absl/status/statusor.h"
#include "chip/program.h"
#include "runtime/block.h"
#include "runtime/collective.h"
#include "runtime/layout.h"

namespace lockstep {

// Where an output of a SplitMatrix went: `words` vectors from word `first`.
struct Segment32 {
  Quad at;
  int first, words;
};

struct CompiledChip {
  Layout layout;
  std::vector<Segment32> logits;     // output of a step
  Program program;
  std::vector<Placer::Span> spans;   // of the kernels, for reports
  int64_t weight_stream_bytes = 0;   // of one step: what LW took
};

// Errors: the shard does not fit in SRAM (with the numbers); latencies that the kernels' layout does
// not allow (VXM operations take multiples of or's cycles; add and max the same).
absl::StatusOr<CompiledChip> CompileChip(const Plan& plan, const StageShape& stage,
                                         const Group& group, const ChipTiming& timing);

}  // namespace lockstep
