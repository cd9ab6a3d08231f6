// Estimates of prompts against the cycles of compiled programs.
#include "runtime/compiler/prompt_time.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/runtime/pipeline_machine.h"

namespace lockstep {
namespace {

struct Shape {
  const char* model;
  int layers, stages, embeds, batch, inbox;
  NumberFormat weights;
};

void ExpectNear(int64_t estimate, int64_t took) {
  EXPECT_GT(estimate * 5, took * 4);
  EXPECT_LT(estimate * 2, took * 3);
}

// A small vocabulary, so that rows of it have room on any stage.
TEST(PromptTimeTest, EstimatesAreAFifthLessToAHalfMoreThanCompiledPrograms) {
  for (const Shape& s : {Shape{"llama-2-70b", 5, 5, 3, 1, 8, NumberFormat::kFp16},
                         Shape{"llama-2-70b", 4, 4, 3, 4, 2, NumberFormat::kFp16},
                         Shape{"llama-2-70b", 4, 4, 1, 2, 0, NumberFormat::kInt8},
                         Shape{"llama-2-13b", 8, 4, 2, 2, 4, NumberFormat::kFp16}}) {
    SCOPED_TRACE(::testing::Message() << s.model << ", batches of " << s.batch);
    ModelConfig model = *ShapeByName(s.model);
    model.layers = s.layers, model.vocab_size = 800;
    const int group = s.batch * std::max(1, s.inbox);
    Deployment d = Deploy(model, s.stages, s.embeds, 1, 8, 1, NumberFormat::kFp16, s.weights);
    d.plan.context = 32;
    d = InFlight(d, 32, s.batch, s.inbox);
    Machine machine(d, ChipTiming::Default());
    const auto prompt = *CompilePrompt(*CompiledPipeline::Create(machine.pipeline, machine.timing));
    const int64_t cycles = EstimatePrompt(d.plan, d.shapes(), 32), took = prompt->cycles();
    ExpectNear(cycles, took);
    // What a group more takes decides what is chosen for long prompts.
    const int64_t more = EstimatePrompt(d.plan, d.shapes(), 32 + group) - cycles;
    const int64_t period = s.inbox > 0 ? prompt->group_period() : prompt->period();
    ExpectNear(more, period);
  }
}

TEST(PromptTimeTest, AGroupOfTwiceAsManyTakesLessThanTwoGroups) {
  ModelConfig model = *ShapeByName("llama-2-70b");
  const auto estimate = [&](int embeds, int inbox) {
    const Deployment d = Deploy(model, 80, embeds, 1);
    return EstimatePrompt(InFlight(d, 64, 1, inbox).plan, d.shapes(), 4096);
  };
  EXPECT_LT(estimate(9, 32), estimate(9, 16));
  EXPECT_LT(estimate(9, 16), estimate(17, 16));
  EXPECT_EQ(estimate(1, 16), estimate(1, 0));
}

}  // namespace
}  // namespace lockstep
