#pragma once
// What a stage of a model takes of each of its chips: SRAM, and bytes that pass in one step.

#include <cstdint>

#include "absl/status/status.h"
#include "runtime/number_format.h"
#include "runtime/plan.h"

namespace lockstep {

// A stage as far as its size goes.
struct StageParts {
  int layers = 0;
  int embedding_rows = 0, head_rows = 0;  // of the node
  auto operator<=>(const StageParts&) const = default;
};

struct StageSize {
  int64_t sram_bytes = 0;  // of a chip
  // Streamed into the arrays in one step of one sequence: weights and KV cache, not the embedding,
  // of which a step reads one row.
  int64_t step_bytes = 0;
  absl::Status fits;  // ok, or what is too small and by how much
};

struct StageFormats {
  NumberFormat weights = NumberFormat::kFp16, kv_cache = NumberFormat::kFp16;
  int sequences = 1;  // each with a KV cache of its own
};

StageSize SizeOfStage(const Plan& plan, const StageFormats& formats, const StageParts& parts);

}  // namespace lockstep
