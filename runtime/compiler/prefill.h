#pragma once
// The program for a batch of positions of a prompt: every weight streams once for all of them.
//
//   one token   a part of its step         runtime/compiler/compiler.h
//   a batch     the same part of plan.batch consecutive positions, the first of them a multiple of
//               plan.batch; heads of the last alone unless plan.all_logits
//
// It uses the same SRAM as the one-token program: weights, cache, and areas made for plan.batch.
// Every position's values are computed in the order of the one-token program, so they are the same
// bits.

#include "runtime/compiler/compiler.h"

namespace lockstep {

// The most positions that fit into a weight row of the cache and into the accumulators.
inline constexpr int kMostPrefill = 16;

// REQUIRES: plan.batch is 2, 4, 8 or 16; latencies and layout that CompileChip takes.
// Errors: CompileChip's.
absl::StatusOr<CompiledChip> CompilePrefill(const Plan& plan, const StageShape& stage,
                                            const PartShape& part, const Group& group,
                                            const ChipTiming& timing,
                                            const Placements* known = nullptr);

}  // namespace lockstep
