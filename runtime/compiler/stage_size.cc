// Lays a stage out and keeps the numbers (runtime/compiler/stage_size.h).
#include "runtime/compiler/stage_size.h"

#include <utility>

namespace lockstep {

int64_t StreamCycles(int64_t bytes) {
  return (bytes + kWeightStreamBytesPerCycle - 1) / kWeightStreamBytesPerCycle;
}

StageSize SizeOfStage(const Plan& plan, const StageParts& parts) {
  StageShape shape;
  shape.layers.end = parts.layers;
  shape.embedding.end = parts.embedding_rows;
  shape.head.end = parts.head_rows;
  Layout layout = LayOut(plan, shape);
  return {layout.use, plan.sequences, std::move(layout.fits)};
}

}  // namespace lockstep
