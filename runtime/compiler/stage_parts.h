#pragma once
// Cuts a model into stages: layers, and rows of embedding and head.

#include <vector>

#include "absl/status/statusor.h"
#include "runtime/compiler/stage.h"
#include "runtime/compiler/stage_size.h"

namespace lockstep {

// As few stages as have room for the model, `least` to `most` of them. Layers go one by one to the
// stage whose step moves the fewest bytes, so the most loaded stage has as little as can be.
// Embedding rows go to the first stages, head rows to the last ones, as few of each as have room,
// in equal parts but for what room for an inbox takes of the first
// (runtime/compiler/prompt_room.h). With plan.batch > 1 every stage has room for such batches; else
// for batches of two, where prompts gain much by it and a token loses little. Errors
// (ResourceExhausted): not even one layer has room, or all `most` stages together have too little;
// both with the bytes.
absl::StatusOr<std::vector<StageShape>> PartitionModel(const Plan& plan, int least, int most);

}  // namespace lockstep
