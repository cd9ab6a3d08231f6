// Room for batches and groups of a prompt's positions: made where it costs no stage, else asked
// for.
#include "runtime/compiler/prompt_room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "runtime/compiler/deployment.h"
#include "runtime/compiler/layout.h"
#include "runtime/compiler/prompt_time.h"
#include "runtime/machine/machine.h"
#include "runtime/planner/prompt_offer.h"
#include "tests/fabric/racks.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Of 80 layers, each of which nearly fills a node.
DeploymentRequest Full(int context, int batch = 1) {
  DeploymentRequest request;
  request.model = *ShapeByName("llama-2-70b");
  request.context = context, request.batch = batch;
  return request;
}

Deployment Made(const DeploymentRequest& request) {
  auto d = MakeDeployment(request, Racks(10, 16));
  EXPECT_TRUE(d.ok()) << d.status();
  return *std::move(d);
}

int EmbeddingStages(const Deployment& d) {
  return static_cast<int>(
      std::count_if(d.stages.begin(), d.stages.end(),
                    [](const Deployment::Stage& s) { return s.embedding.size() > 0; }));
}

// The rows of stages that hold some, one behind the other and all of them.
void ExpectAllRows(const Deployment& d) {
  int embedding = 0, head = 0;
  for (const Deployment::Stage& s : d.stages) {
    EXPECT_TRUE(s.embedding.size() == 0 || s.embedding.begin == embedding) << s.embedding.begin;
    EXPECT_TRUE(s.head.size() == 0 || s.head.begin == head) << s.head.begin;
    embedding += s.embedding.size(), head += s.head.size();
  }
  EXPECT_EQ(embedding, d.plan.model.vocab_size);
  EXPECT_EQ(head, d.plan.model.vocab_size);
}

TEST(PromptRoomTest, TheFirstStageGivesRowsAwayForAnInboxAndNoStageMoreHoldsAny) {
  for (int context : {128, 512, 2048}) {
    const Deployment d = Made(Full(context, 2));
    ExpectAllRows(d);
    EXPECT_GE(LargestInbox(d.plan, d.shapes(), kInboxRows), kInboxRows) << context;
    EXPECT_LT(d.stages[0].embedding.size(), d.stages[1].embedding.size());
    // As many stages as rows need where each holds as many as it has room for.
    StageShape most = d.stages[1].shape();
    most.embedding = {0, CeilDiv(d.plan.model.vocab_size, EmbeddingStages(d) - 1)};
    EXPECT_FALSE(LayOut(d.plan, most).fits.ok()) << context;
  }
}

// The estimate with which a long prompt goes in flight.
int64_t Estimate(const Deployment& d, int batch, int most) {
  Plan plan = d.plan;
  plan.batch = batch;
  plan.inbox = std::min(most, LargestInbox(plan, d.shapes(), most));
  return EstimatePrompt(plan, d.shapes(), plan.context);
}

TEST(PromptRoomTest, UnaskedRowsMoveWhereAPromptThenTakesLessTime) {
  for (int context : {512, 2048}) {
    const Deployment d = Made(Full(context));
    ExpectAllRows(d);
    EXPECT_LT(d.stages[0].embedding.size() + 100, d.stages[1].embedding.size()) << context;
    // The same rows in equal parts leave less room.
    Deployment equal = d;
    const int holders = EmbeddingStages(d), rows = d.plan.model.vocab_size;
    for (int i = 0; i < holders; ++i) {
      equal.stages[i].embedding = {rows * i / holders, rows * (i + 1) / holders};
    }
    const int batch = LargestBatch(d.plan, d.shapes());
    EXPECT_LT(Estimate(d, batch, kInboxPositions / batch) * 8,
              Estimate(equal, batch, kInboxPositions / batch) * 7);
  }
  DeploymentRequest roomy = Full(64);
  roomy.model.layers = 20, roomy.model.intermediate_size = 1024, roomy.nodes = 20;
  const Deployment d = Made(roomy);
  ASSERT_EQ(EmbeddingStages(d), 2);
  EXPECT_LE(d.stages[1].embedding.size() - d.stages[0].embedding.size(), 1) << "room as it is";
}

TEST(PromptRoomTest, OfBatchesThatFitTheOneWithTheLeastTimeGoesInFlight) {
  std::set<int> batches;
  for (int context : {128, 4096}) {
    DeploymentRequest request = Full(context);
    request.weights = NumberFormat::kInt8, request.nodes = 80;
    const Deployment d = Made(request);
    const PromptSteps steps = ChooseSteps(d.plan, d.shapes(), 32, 32);
    batches.insert(steps.batch);
    const auto estimate = [&](int batch) { return Estimate(d, batch, 32 / batch); };
    for (int batch : {1, 2, 4, 8, 16}) {
      EXPECT_LE(estimate(steps.batch) * 32, estimate(batch) * 33) << batch;
      if (batch >= steps.batch) continue;
      EXPECT_GT(estimate(batch), estimate(steps.batch)) << batch;
    }
  }
  EXPECT_EQ(batches.size(), 2u) << "a long prompt takes larger ones";
}

// At its full context: 19 and 18 stages with the vocabulary instead of 17 and 14.
TEST(PromptRoomTest, BatchesOfTwoHaveRoomUnaskedWherePromptsGainMuch) {
  const Deployment unasked = Made(Full(4096)), asked = Made(Full(4096, 2));
  EXPECT_EQ(unasked.plan.batch, 1);
  EXPECT_EQ(unasked.shapes(), asked.shapes());
  EXPECT_EQ(LargestBatch(unasked.plan, unasked.shapes()), 2);
}

TEST(PromptRoomTest, ABatchThatIsAskedForHasRoomOnEveryStage) {
  const Deployment before = Made(Full(2048));
  EXPECT_EQ(LargestBatch(before.plan, before.shapes()), 2);
  const Deployment d = Made(Full(2048, 4));
  ExpectAllRows(d);
  EXPECT_EQ(d.plan.batch, 4);
  EXPECT_TRUE(BatchFits(d.plan, d.shapes()).ok());
  EXPECT_GE(LargestInbox(d.plan, d.shapes(), 2), 2);
  EXPECT_GT(EmbeddingStages(d), EmbeddingStages(before));
  EXPECT_NE(d.Digest(), before.Digest());
}

TEST(PromptRoomTest, ABatchThatHasRoomAnywayMovesNothing) {
  DeploymentRequest request = Full(64);
  request.model.layers = 20, request.model.intermediate_size = 1024, request.nodes = 20;
  const Deployment without = Made(request);
  request.batch = 16;
  const Deployment with = Made(request);
  EXPECT_EQ(LargestBatch(without.plan, without.shapes()), 16);
  EXPECT_EQ(with.shapes(), without.shapes());
}

TEST(PromptRoomTest, WhatHasNoRoomIsRefusedWithTheBytes) {
  const auto refusal = [](DeploymentRequest request) {
    return std::string(MakeDeployment(request, Racks(10, 16)).status().message());
  };
  // 58,880 B beyond a chip beside one layer, even if nothing of the vocabulary lies there.
  EXPECT_THAT(refusal(Full(4096, 8)), StartsWith("--prefill-batch 8: one layer over 8 chips"));
  EXPECT_THAT(refusal(Full(4096, 8)), HasSubstr("in all 58880 B of a chip's 228143360"));
  // Each sequence more takes 20,480 B of step inputs for 8 positions, and a cache.
  DeploymentRequest several = Full(4096, 8);
  several.sequences = 2;
  EXPECT_THAT(refusal(several), StartsWith("--prefill-batch 8: one layer over 8 chips"));
}

TEST(PromptRoomTest, LargerBatchesAreOfferedUpToTheFirstThatHasNoRoom) {
  const DeploymentRequest request = Full(4096);
  const PromptOffers offers = OffersForPrompts(request, Made(request), Racks(10, 16));
  EXPECT_EQ(offers.batch, 2);
  EXPECT_EQ(offers.inbox, kInboxPositions / 2);
  ASSERT_EQ(offers.larger.size(), 2u);
  ASSERT_TRUE(offers.larger[0].stages);
  EXPECT_EQ(offers.larger[0].stages->embedding, EmbeddingStages(Made(Full(4096, 4))));
  EXPECT_GT(offers.larger[0].stages->head, offers.now.head);
  EXPECT_EQ(offers.larger[1].batch, 8);
  EXPECT_FALSE(offers.larger[1].stages);
  EXPECT_THAT(offers.larger[1].why_not, HasSubstr("B too many a chip"));
  const DeploymentRequest small = Full(128, 2);
  EXPECT_EQ(OffersForPrompts(small, Made(small), Racks(10, 16)).batch, 2) << "4 have room, too";
}

}  // namespace
}  // namespace lockstep
