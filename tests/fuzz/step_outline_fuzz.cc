// Fuzz target: any bytes as the outline of a step, and as placements. What is accepted is written
// as it was read.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "chip/check.h"
#include "runtime/compiler/pipeline.h"

namespace {

// Two stages of one chip, without routes.
const lockstep::Pipeline& SmallPipeline() {
  static const auto* const pipeline = [] {
    lockstep::ModelConfig model;
    model.architecture = "LlamaForCausalLM";
    model.hidden_size = 64, model.intermediate_size = 96, model.layers = 2, model.head_dim = 16;
    model.heads = 4, model.kv_heads = 2, model.vocab_size = 40, model.max_positions = 32;
    auto plan = lockstep::MakePlan(model, 1, 8, 2);
    LOCKSTEP_CHECK(plan.ok(), "%s", plan.status().ToString());
    auto* out = new lockstep::Pipeline(
        lockstep::OneStage(*std::move(plan), {lockstep::Group{1, 0, {-1}, 0}}));
    out->stages.push_back(out->stages.front());
    return out;
  }();
  return *pipeline;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const lockstep::ChipTiming timing = lockstep::ChipTiming::Default();
  const auto step = lockstep::CompiledPipeline::FromOutline(SmallPipeline(), timing, bytes);
  if (step.ok()) {
    const std::string written = (*step)->Outline();
    const auto again = lockstep::CompiledPipeline::FromOutline(SmallPipeline(), timing, written);
    LOCKSTEP_CHECK(again.ok() && (*again)->Outline() == written, "another outline");
    (*step)->PartsAt(0);
  }
  lockstep::PipelinePrograms programs(SmallPipeline(), timing,
                                      lockstep::PipelinePrograms::Step::kToken);
  programs.AnswerTo(bytes).IgnoreError();
  programs.Learn(bytes).IgnoreError();
  return 0;
}
