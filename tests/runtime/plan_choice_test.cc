// The fastest deployment is taken, and the others say why not.
#include "runtime/plan_choice.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/report.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

Topology Rack() {
  TopologySpec spec;
  spec.name = "rack";
  spec.node.chips = 8;
  spec.rack = GroupRule{9, 1, 4, 4, {CableKind::kQsfpCopper, 2000}};
  return *Topology::Create(spec);
}

// A model of many layers that fits in one node.
DeploymentRequest Small() {
  DeploymentRequest request;
  request.model = *ShapeByName("llama-2-7b");
  request.model.layers = 10, request.model.intermediate_size = 1024;
  request.model.vocab_size = 4000;
  request.context = 128;
  return request;
}

TEST(PlanChoiceTest, OneUserGetsTheFewestStagesAndTheMostChipsAStage) {
  const LinkModel links = *LinkModel::Create();
  const auto choice = ChoosePlan(Small(), Rack(), links);
  ASSERT_TRUE(choice.ok()) << choice.status();
  EXPECT_EQ(choice->deployment.tensor_parallel(), 8);
  const int stages = choice->deployment.num_stages();
  // All stages together stream the same bytes whatever their number; a stage more is a hop more.
  DeploymentRequest longer = Small();
  longer.nodes = stages + 1;
  const auto other = ChoosePlan(longer, Rack(), links);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->bound.hop_cycles - choice->bound.hop_cycles, links.hop_cycles());
  EXPECT_GT(other->bound.user_cycles(), choice->bound.user_cycles());
}

TEST(PlanChoiceTest, TheBoundIsBytesOverWhatAChipStreamsInACycle) {
  const auto choice = ChoosePlan(Small(), Rack(), *LinkModel::Create());
  ASSERT_TRUE(choice.ok());
  int64_t cycles = 0, slowest = 0;
  for (const Deployment::Stage& stage : choice->deployment.stages) {
    const SramUse use = LayOut(choice->deployment.plan, stage.shape()).use;
    const int64_t bytes = use.layers + use.head + use.kv_cache;
    const int64_t own = (bytes + kWeightStreamBytesPerCycle - 1) / kWeightStreamBytesPerCycle;
    cycles += own, slowest = std::max(slowest, own);
  }
  EXPECT_EQ(choice->bound.stream_cycles, cycles);
  EXPECT_EQ(choice->bound.slowest_cycles, slowest);
}

TEST(PlanChoiceTest, RunnersUpAreSlowerOrSayWhatIsMissing) {
  DeploymentRequest request = Small();
  request.model.vocab_size = 200'000;  // no room on one chip a stage
  const auto choice = ChoosePlan(request, Rack(), *LinkModel::Create());
  ASSERT_TRUE(choice.ok()) << choice.status();
  int refused = 0;
  for (const PlanCandidate& c : choice->runners_up) {
    refused += !c.why_not.empty();
    if (c.why_not.empty()) {
      EXPECT_GE(c.bound.user_cycles(), choice->bound.user_cycles());
    } else {
      EXPECT_THAT(c.why_not, HasSubstr(" B"));
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(PlanChoiceTest, WhatTheRequestFixesIsNotTried) {
  DeploymentRequest request = Small();
  request.tensor_parallel = 4, request.nodes = 5;
  const auto choice = ChoosePlan(request, Rack(), *LinkModel::Create());
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(choice->deployment.tensor_parallel(), 4);
  EXPECT_EQ(choice->deployment.num_stages(), 5);
  EXPECT_TRUE(choice->runners_up.empty());
}

TEST(PlanChoiceTest, AStreamOfSequencesIsHeldUpByItsSlowestStage) {
  TokenBound bound{.stream_cycles = 1000, .slowest_cycles = 300, .hop_cycles = 100};
  EXPECT_EQ(bound.user_cycles(), 1100);
  bound.sequences = 3;
  EXPECT_EQ(bound.user_cycles(), 1100);  // 900 cycles of the slowest stage hide behind the latency
  bound.sequences = 4;
  EXPECT_EQ(bound.user_cycles(), 1200);
}

}  // namespace
}  // namespace lockstep
