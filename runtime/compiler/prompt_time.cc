// The arithmetic (runtime/compiler/prompt_time.h). Constants are round numbers near what compiled
// programs of Llama-2 take; tests compare with such programs (`ctest -R PromptTime`). Link times
// are of the default hop latency, so that a deployment does not depend on which one is asked for.
#include "runtime/compiler/prompt_time.h"

#include <algorithm>

#include "chip/latency.h"
#include "fabric/link_model.h"
#include "runtime/compiler/stage_size.h"

namespace lockstep {
namespace {

constexpr int kLayerCycles = 4000;      // of a layer in which weights do not stream
constexpr int kBatchCycles = 1600;      // more where there are several positions: less overlaps
constexpr int kEmbeddingCycles = 3300;  // of an embedding of one position, but for its sums

// Vectors of a word on a link: of an embedding in fp16; of a hidden vector in fp32, on its way from
// node to node on two links.
constexpr int kEmbeddingVectors = 2, kTransferVectors = 2;

int64_t LinkCycles(const Plan& plan, int vectors, int positions) {
  const double each = ChipTiming::Default().link_ticks / static_cast<double>(kTicksPerCycle);
  return static_cast<int64_t>(each * vectors * plan.hidden_words() * positions);
}

// To another node, and to all chips of it.
int64_t WayCycles() { return 2 * LinkModel::Create()->hop_cycles(); }

// Of a batch on a stage of one layer. Part of what a token waits for, and of what overlaps less, is
// as long as the layer's products; feeding them with a position more takes a third of streaming
// them, as fp16, which an int8 tile takes twice as long to be fed as to be streamed.
int64_t LayerCycles(const Plan& plan) {
  const StageSize size = SizeOfStage(plan, {1, 0, 0});
  const bool int8 = plan.weights == NumberFormat::kInt8;
  const int64_t products = StreamCycles(size.use.layers) * (int8 ? 2 : 1);
  int64_t cycles = StreamCycles(size.layer_bytes()) + kLayerCycles + products / 16;
  if (plan.batch > 1) cycles += kBatchCycles + products * 2 / 9;
  return cycles + (plan.batch - 1) * products / 3;
}

int Holders(const std::vector<StageShape>& stages, Range StageShape::*rows) {
  return static_cast<int>(std::count_if(stages.begin(), stages.end(),
                                        [&](const StageShape& s) { return (s.*rows).size() > 0; }));
}

}  // namespace

BatchTime EstimateBatch(const Plan& plan, const std::vector<StageShape>& stages) {
  const int holders = Holders(stages, &StageShape::embedding);
  const int64_t layer = LayerCycles(plan);
  const int64_t overlap = LinkCycles(plan, kTransferVectors, plan.batch);
  BatchTime out;
  for (size_t s = 0; s < stages.size(); ++s) {
    const int64_t layers = stages[s].layers.size() * layer;
    out.layers = std::max(out.layers, layers);
    out.way += layers - overlap;
    if (static_cast<int>(s) + 1 < holders) out.first_way += layers - overlap;
  }
  out.embedding = kEmbeddingCycles + LinkCycles(plan, kEmbeddingVectors, plan.batch);
  out.back = holders > 1 ? holders * WayCycles() : 0;
  return out;
}

int64_t EstimatePrompt(const Plan& plan, const std::vector<StageShape>& stages, int positions) {
  const BatchTime batch = EstimateBatch(plan, stages);
  const int rows = batch.back > 0 ? std::max(1, plan.inbox) : 1;
  int64_t group = batch.layers;
  if (batch.back > 0) {
    group = batch.back + batch.first_way + rows * (batch.embedding + batch.layers);
  }
  // The last group ends before the next could begin.
  return batch.way - batch.first_way + group * positions / (rows * plan.batch);
}

int64_t EstimateVocabularyWay(const std::vector<StageShape>& stages) {
  return WayCycles() *
         (Holders(stages, &StageShape::embedding) + Holders(stages, &StageShape::head));
}

}  // namespace lockstep
