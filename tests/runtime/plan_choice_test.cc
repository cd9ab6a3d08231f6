// The fastest deployment is taken, and the others say why not.
#include "runtime/planner/plan_choice.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

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
  int64_t cycles = 0, head = 0, slowest = 0;
  for (const Deployment::Stage& stage : choice->deployment.stages) {
    const SramUse use = LayOut(choice->deployment.plan, stage.shape()).use;
    cycles += (use.layers + use.kv_cache + 20'479) / 20'480;
    head = std::max(head, (use.head + 20'479) / 20'480);
    slowest = std::max(slowest, (use.layers + use.kv_cache + use.head + 20'479) / 20'480);
  }
  cycles += head;  // stages go through their rows of the head side by side
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

TEST(PlanChoiceTest, EverySequenceHasAKvCacheAndStreamsItsOwn) {
  DeploymentRequest request = Small();
  const auto one = ChoosePlan(request, Rack(), *LinkModel::Create());
  request.sequences = 4;
  const auto four = ChoosePlan(request, Rack(), *LinkModel::Create());
  ASSERT_TRUE(one.ok() && four.ok()) << four.status();
  const StageSize a = SizeOfStage(one->deployment.plan, {1, 0, 0});
  const StageSize b = SizeOfStage(four->deployment.plan, {1, 0, 0});
  EXPECT_EQ(b.use.kv_cache, 4 * a.use.kv_cache);
  EXPECT_EQ(b.step_bytes(), a.step_bytes());
  EXPECT_EQ(four->bound.sequences, 4);
  EXPECT_LE(four->bound.user_cycles(), 4 * one->bound.user_cycles());
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
