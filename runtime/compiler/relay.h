#pragma once
// Programs of chips that pass on hidden vectors on the way between two stages
// (runtime/kernels/transfer.h), as parts of a step of their own. A chip may belong to another
// stage: its own programs do not run meanwhile, and what it passes on lies where sums of its own
// land.

#include "absl/status/statusor.h"
#include "runtime/compiler/compiler.h"

namespace lockstep {

// What of a step of `batch` positions travels between stages, and how closely it follows itself.
struct Travel {
  int positions;
  Pace pace;
};
// to_head: PartShape::to_head of the part that sends.
Travel TravelOf(const Plan& plan, int batch, bool to_head);

// Of the index-th third chip of part.relay. stage: which it belongs to; null: none. Errors: the
// stage's layout does not fit.
absl::StatusOr<CompiledChip> CompileRelay(const Plan& plan, int batch, const PartShape& part,
                                          int index, const StageShape* stage,
                                          const ChipTiming& timing);

}  // namespace lockstep
