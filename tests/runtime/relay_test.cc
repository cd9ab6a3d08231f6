// Transfers over third chips: the bits of one node, one digest, and nothing illegal accepted.
#include "runtime/compiler/relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "runtime/machine/topology_file.h"
#include "tests/runtime/pipeline_machine.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

// Each rack has one cable to each other one: 0.0 = 1.1, 1.0 = 2.1, 2.0 = 0.1.
constexpr char kThreeRacks[] = R"(
  name: "three-racks"
  chip { local_ports: 1 global_ports: 2 }
  node { chips: 2 local: FULLY_CONNECTED }
  rack { nodes: 3 spare_nodes: 1 cables_per_node_pair: 1 ports_per_chip: 1 }
  system { racks: 3 cables_per_rack_pair: 1 ports_per_chip: 1 }
)";

Topology FromText(const char* text) { return *Topology::Create(*ParseTopology(text, "text")); }

std::set<uint32_t> RelaysOf(const Pipeline& pipeline) {
  std::set<uint32_t> chips;
  for (const NodeRoute& route : pipeline.forward) {
    chips.insert(route.relay_chips().begin(), route.relay_chips().end());
  }
  return chips;
}

// A model on disk and the logits of one node of `chips`.
struct Story {
  explicit Story(int chips, int hidden = 96) : model(Model(4, hidden), "F16", 5) {
    model.WriteTo(folder);
    weights.emplace(*Checkpoint::Open(folder.path()));
    want = Machine(Deploy(model.config, 1, 1, 1, chips), ChipTiming::Default())
               .Run(EngineKind::kFunctional, &*weights, 1);
  }
  void ExpectSameOn(Machine& machine) const {
    EXPECT_EQ(machine.Run(EngineKind::kFunctional, &*weights, 1), want);
    const uint64_t digest = machine.digest;
    machine.Run(EngineKind::kTiming, nullptr, 3);
    EXPECT_EQ(machine.digest, digest);
    const auto verified = machine.Verify();
    EXPECT_TRUE(verified.ok()) << verified.status();
  }

  const RandomModel model;
  TempFolder folder;
  std::optional<Checkpoint> weights;
  std::vector<std::vector<float>> want;
};

// With two chips a node in use, no cable joins chips that are used on both sides.
TEST(RelayTest, ChipsThatTensorParallelLeavesOutPassOn) {
  const Story story(2, 700);
  Machine machine(Deploy(story.model.config, 3, 2, 3, 2), ChipTiming::Default());
  for (const NodeRoute& route : machine.pipeline.forward) {
    EXPECT_EQ(route.cables().size(), 2u);
    EXPECT_EQ(route.relay_chips().size(), 2u);
  }
  story.ExpectSameOn(machine);
}

TEST(RelayTest, StagesInTurnGiveTheSameBitsAndDigest) {
  const Story story(2);
  Machine machine(Deploy(story.model.config, 4, 2, 2, 2), ChipTiming::Default());
  EXPECT_EQ(machine.Run(EngineKind::kFunctional, &*story.weights, 1), story.want);
  const uint64_t digest = machine.digest;
  const auto token = *CompiledPipeline::Create(machine.pipeline, machine.timing);
  const auto turns =
      machine.Run(EngineKind::kFunctional, &*story.weights, 1, {7}, LargestStage(*token) / 4);
  EXPECT_EQ(turns, story.want);
  EXPECT_EQ(machine.digest, digest);
}

struct Prompt {
  int batch, flight, embeds, inbox;
};
class RelayPromptTest : public ::testing::TestWithParam<Prompt> {};

TEST_P(RelayPromptTest, GivesTheLogitsOfOneByOne) {
  const Prompt& p = GetParam();
  const Story story(2);
  const Deployment one = Deploy(story.model.config, 3, p.embeds, 2, 2);
  Machine alone(one, ChipTiming::Default());
  Machine many(InFlight(one, p.flight, p.batch, p.inbox), ChipTiming::Default());
  const auto want = RunPrompt(alone, EngineKind::kFunctional, &*story.weights, 1, 16);
  ASSERT_EQ(want.size(), 3u);
  EXPECT_EQ(RunPrompt(many, EngineKind::kFunctional, &*story.weights, 2, 16), want);
  const uint64_t digest = many.digest;
  RunPrompt(many, EngineKind::kTiming, nullptr, 1, 16);
  EXPECT_EQ(many.digest, digest);
  const auto prompt = *CompilePrompt(*CompiledPipeline::Create(many.pipeline, many.timing));
  EXPECT_TRUE(many.Verify(*prompt).ok()) << many.Verify(*prompt).status();
}

INSTANTIATE_TEST_SUITE_P(Cuts, RelayPromptTest,
                         ::testing::Values(Prompt{1, 8, 1, 0}, Prompt{16, 1, 2, 0},
                                           Prompt{4, 16, 1, 0}, Prompt{1, 16, 3, 3}));

// Node 0.0 has the only cable from rack 0 to rack 1; its stage goes to 0.2, and the next transfer
// over rack 2 and nodes of other stages.
TEST(RelayTest, StagesOfOtherNodesPassOnWhereANodeHasFailed) {
  const Story story(2);
  const Topology topology = FromText(kThreeRacks);
  DeploymentRequest request{story.model.config};
  request.context = 20, request.nodes = 4, request.failed = {NodeId(0)};
  const auto deployment = MakeDeployment(request, topology);
  ASSERT_TRUE(deployment.ok()) << deployment.status();
  Machine machine(*deployment, ChipTiming::Default(), topology);
  const std::set<uint32_t> relays = RelaysOf(machine.pipeline);
  int busy = 0;
  for (uint32_t chip : relays) {
    EXPECT_GT(chip, 1u) << "the failed node";
    for (const PipelineStage& stage : machine.pipeline.stages) {
      busy += std::count(stage.chips.begin(), stage.chips.end(), chip);
    }
  }
  EXPECT_GT(busy, 0);
  EXPECT_LT(busy, static_cast<int>(relays.size()));
  story.ExpectSameOn(machine);
}

TEST(RelayTest, WhereThereIsNoWayBothNodesAreNamed) {
  const Topology topology = FromText(R"(
    name: "two-racks"
    chip { local_ports: 1 global_ports: 2 }
    node { chips: 2 local: FULLY_CONNECTED }
    rack { nodes: 3 spare_nodes: 1 cables_per_node_pair: 1 ports_per_chip: 1 }
    system { racks: 2 cables_per_rack_pair: 1 ports_per_chip: 1 }
  )");
  DeploymentRequest request{Model(4, 96)};
  request.context = 20, request.nodes = 4, request.failed = {NodeId(0)};
  const auto deployment = MakeDeployment(request, topology);
  ASSERT_TRUE(deployment.ok()) << deployment.status();
  const ChipTiming timing = ChipTiming::Default();
  const auto pipeline = MakePipeline(*deployment, topology, *LinkModel::Create(), timing);
  ASSERT_FALSE(pipeline.ok());
  EXPECT_THAT(std::string(pipeline.status().message()),
              HasSubstr("no way from node 0.2 (stage 1) to node 1.0 (stage 2)"));
}

TEST(RelayTest, LegalWithEveryHopPresetAndOtherLatencies) {
  const Deployment d = Deploy(Model(4, 350), 3, 1, 2, 2);
  for (int percent : {50, 150, 200}) {
    Machine machine(d, ChipTiming::Default().Scaled(percent));
    EXPECT_TRUE(machine.Verify().ok()) << percent << ": " << machine.Verify().status();
  }
  for (const char* preset : {"A", "C"}) {
    Machine machine(d, *MakeTiming({}, *MakeLinks(Rack(), preset)), preset);
    EXPECT_TRUE(machine.Verify().ok()) << preset << ": " << machine.Verify().status();
  }
}

// A direct cable, and a way of two cables beside it.
struct TwoWays {
  TwoWays() {
    const LinkModel links = *LinkModel::Create();
    const std::vector<Group> to = *GroupsOf(Rack(), {8, 9, 10, 11, 12, 13, 14, 15}, links);
    const int flight = static_cast<int>(links.flight_cycles());
    const NodeCable cable{0, 7, 4, 7, flight};
    direct = NodeRoute::Create({cable}, to, timing);
    const NodeCable way = JoinCables(1, 5, {{1, 7, 8, flight}, {16, 9, 7, flight}}, flight, timing);
    later = (way.flight_cycles - flight) / period;
    both = NodeRoute::Create({cable, way}, to, timing);
  }
  // The cycle in which the last of `words` words can be received.
  int64_t Last(const NodeRoute& route, int words) const {
    int64_t last = 0;
    for (int i = 0; i < 4 * words; ++i) {
      const NodeRoute::Turn turn = route.TurnOf(i / 4, i % 4, words, Pace::kVectors, timing);
      last = std::max(last, turn.leaves + period + route.cables()[turn.share].flight_cycles);
    }
    return last;
  }
  const ChipTiming timing = ChipTiming::Default();
  const int period = LinkPeriod(timing);
  int later = 0;
  absl::StatusOr<NodeRoute> direct = absl::UnknownError(""), both = absl::UnknownError("");
};

// As published of routes inside a node (docs/validation.md, V22): not below the bytes that a cable
// takes in the time by which the longer way is later.
TEST(SpreadTest, GainsWhereACableIsBusyForLongerThanAHopTakes) {
  const TwoWays ways;
  ASSERT_TRUE(ways.both.ok()) << ways.both.status();
  int first = 0;
  for (int words = 1; words < 60; ++words) {
    const int gain = ways.both->Gain(words);
    EXPECT_EQ(gain > 0, 4 * words >= ways.later + 2) << words;
    EXPECT_EQ(ways.direct->Gain(words), 0);
    if (gain <= 0) continue;
    if (first == 0) first = words;
    // One cycle more: the second way's vectors keep out of the first one's cycles.
    const int64_t earlier = ways.Last(*ways.direct, words) - ways.Last(*ways.both, words);
    EXPECT_GE(earlier, gain * ways.period - 1) << words;
    EXPECT_LE(earlier, gain * ways.period) << words;
  }
  EXPECT_GT(first, 5);
  EXPECT_LT(first, 8);  // 28 vectors are 9 kB
}

std::shared_ptr<CompiledPipeline> Prompt16(const Machine& machine) {
  return *CompilePrompt(*CompiledPipeline::Create(machine.pipeline, machine.timing));
}

bool PassesOn(const CompiledPipeline& compiled) {
  return std::any_of(compiled.parts().begin(), compiled.parts().end(),
                     [](const PipelinePart& part) { return part.shape.relay != nullptr; });
}

// Sums travel as fp16, so words are made faster than one cable takes them.
TEST(SpreadTest, ABatchOverOneCableGoesOverThirdNodesTooAndEndsEarlier) {
  const RandomModel model(Model(3, 2600), "F16", 5);
  TempFolder folder;
  model.WriteTo(folder);
  const Checkpoint weights = *Checkpoint::Open(folder.path());
  const Deployment one = Deploy(model.config, 3, 1, 1);
  const ChipTiming timing = ChipTiming::Default();
  Machine alone(one, timing, Rack(1)), many(InFlight(one, 1, 16), timing, Rack(1));
  const auto want = RunPrompt(alone, EngineKind::kFunctional, &weights, 2, 16);
  EXPECT_EQ(RunPrompt(many, EngineKind::kFunctional, &weights, 2, 16), want);
  const uint64_t digest = many.digest;
  RunPrompt(many, EngineKind::kTiming, nullptr, 1, 16);
  EXPECT_EQ(many.digest, digest);
  const auto spread = Prompt16(many);
  EXPECT_TRUE(PassesOn(*spread));
  EXPECT_TRUE(many.Verify(*spread).ok()) << many.Verify(*spread).status();
  const auto cables =
      *CompiledPipeline::Create(many.pipeline, timing, CompiledPipeline::Step::kBatch);
  EXPECT_LT(spread->cycles(), cables->cycles());
}

// Sums in fp32 are made at the rate of a link of the node, so a cable is not what they wait for.
TEST(SpreadTest, WhereWordsAreMadeMoreSlowlyTheCablesAreEnough) {
  Machine machine(InFlight(Deploy(Model(4, 1000), 4, 1, 1), 1, 16), ChipTiming::Default(), Rack(1));
  EXPECT_GT(machine.pipeline.spread.front().Gain(16 * 4), 0);
  EXPECT_FALSE(PassesOn(*Prompt16(machine)));
}

TEST(SpreadTest, SmallBatchesAndSingleTokensKeepToTheCables) {
  const Deployment one = Deploy(Model(4, 96), 4, 1, 1);
  Machine machine(InFlight(one, 1, 4), ChipTiming::Default());
  const auto token = *CompiledPipeline::Create(machine.pipeline, machine.timing);
  EXPECT_FALSE(PassesOn(*token));
  EXPECT_FALSE(PassesOn(**CompilePrompt(token)));
  for (const NodeRoute& route : machine.pipeline.spread) {
    EXPECT_FALSE(route.relay_chips().empty());
    EXPECT_LE(route.Gain(4), 0);
  }
}

class CorruptedRelayTest : public ::testing::Test {
 protected:
  CorruptedRelayTest() : machine_(Deploy(Model(4, 96), 2, 1, 1, 2), ChipTiming::Default()) {
    relay_ = machine_.pipeline.forward.front().relay_chips().front();
    compiled_ = *CompiledPipeline::Create(machine_.pipeline, machine_.timing);
    launches_ = machine_.LaunchesOfAll(*compiled_);
  }
  absl::Status Verified() const {
    const std::vector<int64_t> sram(launches_.size(), 0);
    return VerifyLaunches(launches_, sram, machine_.wiring, machine_.timing).status();
  }
  Machine machine_;
  uint32_t relay_;
  std::shared_ptr<CompiledPipeline> compiled_;
  std::vector<Launches> launches_;
};

TEST_F(CorruptedRelayTest, ACycleLaterOrEarlierIsRefused) {
  ASSERT_TRUE(Verified().ok()) << Verified();
  ASSERT_EQ(launches_[relay_].size(), 1u);
  for (int by : {+1, -2}) {  // in the end one after what is right, one before
    launches_[relay_].front().start += by;
    EXPECT_FALSE(Verified().ok()) << by;
  }
}

TEST_F(CorruptedRelayTest, AMissingOneIsRefused) {
  launches_[relay_].clear();
  EXPECT_FALSE(Verified().ok());
}

}  // namespace
}  // namespace lockstep
