// Which node holds what: nothing twice, nothing missing, failed nodes out, spare nodes in.
#include "runtime/compiler/deployment.h"

#include <algorithm>
#include <set>

#include "chip/geometry.h"
#include "fabric/node_chain.h"
#include "gtest/gtest.h"
#include "runtime/machine/machine.h"
#include "runtime/planner/plan_schedule.h"
#include "tests/fabric/racks.h"

namespace lockstep {
namespace {

DeploymentRequest Request(const char* shape, int context = 256) {
  DeploymentRequest request;
  request.model = *ShapeByName(shape);
  request.context = context;
  return request;
}

// Many layers that are small beside the vocabulary.
DeploymentRequest ManyLayers() {
  DeploymentRequest request = Request("llama-2-7b");
  request.model.layers = 60, request.model.intermediate_size = 1024;
  return request;
}

void ExpectWhole(const Deployment& d) {
  int layer = 0, embedding = 0, head = 0;
  std::set<ChipId> chips;
  for (const Deployment::Stage& stage : d.stages) {
    EXPECT_EQ(stage.layers.begin, layer);
    EXPECT_GE(stage.layers.size(), 1);
    layer = stage.layers.end;
    EXPECT_TRUE(stage.embedding.size() == 0 || stage.embedding.begin == embedding);
    EXPECT_TRUE(stage.head.size() == 0 || stage.head.begin == head);
    embedding += stage.embedding.size(), head += stage.head.size();
    chips.insert(stage.chips.begin(), stage.chips.end());
    EXPECT_TRUE(d.SizeOf(stage).fits.ok()) << d.SizeOf(stage).fits;
  }
  EXPECT_EQ(layer, d.plan.model.layers);
  EXPECT_EQ(embedding, d.plan.model.vocab_size);
  EXPECT_EQ(head, d.plan.model.vocab_size);
  EXPECT_EQ(chips.size(), static_cast<size_t>(d.num_chips())) << "a chip twice";
}

TEST(DeploymentTest, EveryNumberOfStagesHoldsTheWholeModel) {
  const Topology topology = Racks(10, 16);
  DeploymentRequest request = ManyLayers();
  const auto fewest = MakeDeployment(request, topology);
  ASSERT_TRUE(fewest.ok()) << fewest.status();
  ExpectWhole(*fewest);
  ASSERT_GT(fewest->num_stages(), 1);
  for (int nodes = fewest->num_stages(); nodes <= 60; ++nodes) {
    request.nodes = nodes;
    const auto d = MakeDeployment(request, topology);
    ASSERT_TRUE(d.ok()) << d.status();
    EXPECT_EQ(d->num_stages(), nodes);
    ExpectWhole(*d);
  }
  request.nodes = fewest->num_stages() - 1;
  EXPECT_EQ(MakeDeployment(request, topology).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(DeploymentTest, TheSlowestStageHasOneLayerMoreThanTheFastestAtMost) {
  // A stage with rows of the head has fewer layers instead.
  const Topology topology = Racks(10, 16);
  DeploymentRequest request = ManyLayers();
  request.model.vocab_size = 8000;  // so that no stage is short of room
  for (int nodes : {17, 23, 29, 41}) {
    request.nodes = nodes;
    const auto d = MakeDeployment(request, topology);
    ASSERT_TRUE(d.ok()) << d.status();
    int64_t least = INT64_MAX, most_layers = 0;
    for (const Deployment::Stage& stage : d->stages) {
      least = std::min(least, d->SizeOf(stage).step_bytes());
      if (stage.layers.size() > 1) {
        most_layers = std::max(most_layers, d->SizeOf(stage).step_bytes());
      }
    }
    EXPECT_LE(most_layers - least, SizeOfStage(d->plan, {1, 0, 0}).step_bytes()) << nodes;
  }
}

TEST(DeploymentTest, Llama70BHasRoomForItsFullContext) {
  struct Case {
    int racks;
    NumberFormat weights;
    int stages;
  };
  for (const Case& c : {Case{10, NumberFormat::kFp16, 80}, Case{5, NumberFormat::kInt8, 40}}) {
    DeploymentRequest request = Request("llama-2-70b", 4096);
    request.weights = c.weights;
    const auto d = MakeDeployment(request, Racks(c.racks, 16));
    ASSERT_TRUE(d.ok()) << d.status();
    EXPECT_EQ(d->num_stages(), c.stages);
    ExpectWhole(*d);
    // A stage with rows of the embedding has none of the head.
    for (const Deployment::Stage& stage : d->stages) {
      EXPECT_TRUE(stage.embedding.size() == 0 || stage.head.size() == 0);
    }
  }
}

TEST(DeploymentTest, OneNodeIsOneStageWithEverything) {
  DeploymentRequest small = ManyLayers();
  small.model.layers = 3, small.model.vocab_size = 1000;
  const auto one = MakeDeployment(small, Racks(1, 0));
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_EQ(one->num_stages(), 1);
  EXPECT_EQ(one->stages[0].shape(), WholeModel(small.model));
  EXPECT_EQ(one->stages[0].node, NodeId(0));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(one->stages[0].chips[i], ChipId(i));
  EXPECT_EQ(one->free_spares, std::vector<NodeId>{NodeId(8)});
}

TEST(DeploymentTest, EveryStageTakesTheSramThatCompilingAllocates) {
  const Topology topology = Racks(1, 0);
  DeploymentRequest request = Request("llama-2-7b", 64);
  request.model.layers = 5, request.model.hidden_size = 640, request.model.head_dim = 64;
  request.model.heads = 10, request.model.kv_heads = 5, request.model.intermediate_size = 1000;
  request.model.vocab_size = 1001, request.nodes = 3;
  const auto d = MakeDeployment(request, topology);
  ASSERT_TRUE(d.ok()) << d.status();
  const LinkModel links = *LinkModel::Create();
  const auto compiled = CompilePlan(*d, topology, links, *MakeTiming({}, links));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  ASSERT_EQ(compiled->sram.size(), 3u);
  for (int s = 0; s < 3; ++s) EXPECT_EQ(compiled->sram[s], d->SizeOf(d->stages[s]).use) << s;
  EXPECT_GT(compiled->in_node.vectors, 0);
  // The hidden vector is 640 fp32 elements: two words of four byte planes, dealt over four cables.
  EXPECT_EQ(compiled->between_nodes.vectors, 2);
}

TEST(DeploymentTest, AFailedNodeIsReplacedByTheSpareOfItsRack) {
  const Topology topology = Racks(10, 16);
  DeploymentRequest request = ManyLayers();
  request.nodes = 32;
  const auto before = MakeDeployment(request, topology);
  ASSERT_TRUE(before.ok());
  for (const Deployment::Stage& failed : before->stages) {
    request.failed = {failed.node};
    const auto after = MakeDeployment(request, topology);
    ASSERT_TRUE(after.ok()) << NodeName(topology, failed.node) << ": " << after.status();
    ExpectWhole(*after);
    EXPECT_NE(after->Digest(), before->Digest());
    const NodeId spare(failed.node.value() / 9 * 9 + 8);
    int used = 0;
    std::vector<NodeId> chain;
    for (const Deployment::Stage& stage : after->stages) {
      EXPECT_NE(stage.node, failed.node);
      used += stage.node == spare;
      chain.push_back(stage.node);
    }
    EXPECT_EQ(used, 1) << NodeName(topology, failed.node);
    EXPECT_TRUE(CheckNodeChain(topology, chain).ok());
    EXPECT_EQ(after->free_spares.size() + 1, before->free_spares.size());
  }
}

TEST(DeploymentTest, TwoFailuresInARackAreRefused) {
  const Topology topology = Racks(10, 16);
  DeploymentRequest request = ManyLayers();
  request.nodes = 32;
  request.failed = {NodeId(27), NodeId(29)};
  const auto d = MakeDeployment(request, topology);
  ASSERT_FALSE(d.ok());
  EXPECT_EQ(d.status().message(),
            "failed nodes that hold stages: 3.0, 3.2; spare nodes for them: 1, of which 1 works");
  request.failed = {NodeId(28), NodeId(35)};  // the spare itself
  EXPECT_EQ(MakeDeployment(request, topology).status().message(),
            "failed nodes that hold stages: 3.1; spare nodes for them: 1, of which 0 work");
  request.failed = {NodeId(90)};
  EXPECT_EQ(MakeDeployment(request, topology).status().message(),
            "failed node 90: topology racks has 90");
}

TEST(DeploymentTest, WhatHasNoRoomIsRefusedWithTheBytes) {
  DeploymentRequest request = Request("llama-2-70b", 4096);
  request.nodes = 8;
  const auto d = MakeDeployment(request, Racks(1, 0));
  ASSERT_FALSE(d.ok());
  EXPECT_EQ(d.status().code(), absl::StatusCode::kResourceExhausted);
  request.nodes = 9;
  EXPECT_EQ(MakeDeployment(request, Racks(1, 0)).status().code(),
            absl::StatusCode::kInvalidArgument);
  request.nodes.reset();
  request.context = 5000;
  EXPECT_EQ(MakeDeployment(request, Racks(10, 16)).status().message(),
            "a context of 5000 positions: the model has 1..4096");
}

TEST(DeploymentTest, ADigestCoversWhatDecidesThePrograms) {
  const Topology topology = Racks(10, 16);
  std::set<uint64_t> digests;
  for (int nodes : {20, 32}) {
    for (int context : {256, 512}) {
      for (int tensor_parallel : {7, 8}) {
        DeploymentRequest request = ManyLayers();
        request.context = context;
        request.nodes = nodes, request.tensor_parallel = tensor_parallel;
        const auto d = MakeDeployment(request, topology);
        ASSERT_TRUE(d.ok()) << d.status();
        digests.insert(d->Digest());
      }
    }
  }
  EXPECT_EQ(digests.size(), 8u);
}

}  // namespace
}  // namespace lockstep
