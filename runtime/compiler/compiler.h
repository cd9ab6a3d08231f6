#pragma once
// Compile: from a plan and a stage to one chip's program on the layout of its SRAM.
//
// Every chip of the group runs the same instructions in the same cycles; chips differ in what their
// weight rows hold, and in which of their links leads to which other.
//
// One program serves every position of a run. Before each step the host writes the step's inputs
// (StepInputs), after it the host reads the logits.

#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/program.h"
#include "runtime/compiler/layout.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/collective.h"
#include "runtime/kernels/transfer.h"

namespace lockstep {

// Where an output of a SplitMatrix went: `words` vectors from word `first`.
struct Segment32 {
  Quad at;
  int first, words;
};

// What one program of a stage does, in this order. A node that holds the whole model does it all in
// one; in a pipeline a node has one for its layers, and others for the rows of the vocabulary that
// it holds for stages far away (runtime/compiler/pipeline.h).
struct PartShape {
  bool embedding = false;              // look the token up, sum over the node
  const NodeRoute* receive = nullptr;  // the hidden vector comes in; with `embedding`: is added to
  bool layers = false;
  const NodeRoute* send = nullptr;  // the hidden vector goes out
  bool head = false;
  int sequence = 0;  // whose step it is
  // What goes out, and without layers what comes in, is meant for a head alone: of a batch the last
  // position's vector, unless the plan has logits of all.
  bool to_head = false;
  // Only copies hidden vectors as the embedding gave them, into a row of the inbox or back from it.
  std::optional<int> keep = std::nullopt, take = std::nullopt;
  // Only passes on what goes over this route, on its third chips (runtime/compiler/relay.h).
  const NodeRoute* relay = nullptr;
};
inline constexpr PartShape kWholeStep = {true, nullptr, true, nullptr, true};

struct CompiledChip {
  Layout layout;
  std::vector<Segment32> logits;  // output of a step: the parts of a position after each other
  // Of one of `rows` positions.
  std::span<const Segment32> LogitsOf(int row, int rows) const {
    const size_t each = logits.size() / rows;
    return std::span(logits).subspan(row * each, each);
  }
  Program program;
  std::vector<Placer::Span> spans;  // of the kernels, for reports
  Placements placements;
  int64_t weight_stream_bytes = 0;  // of one step: what LW took
  // Cycles in which the first vector of the hidden vector leaves: at the node before, here.
  int64_t received_from = 0, sent_from = 0;
  int64_t moved_until = 0;  // last cycle of a transfer, on every member of the node
};

// Errors: the shard does not fit in SRAM (with the numbers); latencies that the kernels' layout
// does not allow (VXM operations take multiples of or's cycles; add and max the same).
// known: the placements of another member of the group, for the same part: they are not looked for again.
absl::StatusOr<CompiledChip> CompileChip(const Plan& plan, const StageShape& stage,
                                         const PartShape& part, const Group& group,
                                         const ChipTiming& timing,
                                         const Placements* known = nullptr);

}  // namespace lockstep
