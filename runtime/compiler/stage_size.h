#pragma once
// What a stage of a model takes of each of its chips: SRAM by use, and bytes that pass in one step.
// The numbers are those of the layout that is compiled (runtime/compiler/layout.h).

#include <cstdint>

#include "absl/status/status.h"
#include "runtime/compiler/layout.h"
#include "runtime/files/number_format.h"

namespace lockstep {

inline constexpr int64_t kWeightStreamBytesPerCycle = 20'480;  // 2 hemispheres x 32 streams x 320 B

// A stage as far as its size goes: how many layers, and rows of the node.
struct StageParts {
  int layers = 0;
  int embedding_rows = 0, head_rows = 0;
  auto operator<=>(const StageParts&) const = default;
};

struct StageSize {
  SramUse use;  // of a chip, the KV cache of all sequences
  int sequences = 1;
  absl::Status fits;  // ok, or what is too small and by how much

  // What a step of one sequence streams: weights and KV cache, but of the embedding, of which a
  // step reads one row.
  int64_t layer_bytes() const { return use.layers + use.kv_cache / sequences; }
  int64_t step_bytes() const { return layer_bytes() + use.head; }
};

// The least cycles in which a chip streams `bytes` into its arrays.
int64_t StreamCycles(int64_t bytes);

StageSize SizeOfStage(const Plan& plan, const StageParts& parts);

}  // namespace lockstep
