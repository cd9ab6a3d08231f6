// Collectives over many nodes: values on emulated chips, one digest on both engines, refusals.
#include "runtime/collectives/collective_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/machine/machine.h"
#include "runtime/machine/topology_file.h"
#include "runtime/machine/verify.h"

namespace lockstep {
namespace {

using Kind = CollectiveKind;
using Algorithm = CollectiveAlgorithm;
constexpr int64_t kWord = 1280;

Topology Load(const std::string& name, int chips = 0) {
  Topology t = *Topology::Create(*LoadTopology(name, LOCKSTEP_SOURCE_DIR "/topologies"));
  return chips > 0 ? *t.Subset(chips) : t;
}

struct Case {
  const char* topology;
  int chips;  // 0: all
  Kind kind;
  int64_t bytes;
  Algorithm algorithm;
};

class FabricCollectiveValues : public testing::TestWithParam<Case> {};

// RunCollective compares every lane of every chip with its definition, and all chips bit for bit.
TEST_P(FabricCollectiveValues, AreRightOnEveryChipAndBothEnginesAgree) {
  const Case c = GetParam();
  const Topology topology = Load(c.topology, c.chips);
  CollectiveRequest request{.kind = c.kind,
                            .bytes = c.bytes,
                            .engine = EngineKind::kFunctional,
                            .algorithm = c.algorithm};
  const auto with_values = RunCollective(topology, request);
  ASSERT_TRUE(with_values.ok()) << with_values.status();
  request.engine = EngineKind::kTiming;
  const auto timed = RunCollective(topology, request);
  ASSERT_TRUE(timed.ok()) << timed.status();
  EXPECT_EQ(with_values->timing_digest, timed->timing_digest);
  EXPECT_EQ(with_values->cycles, timed->cycles);
  EXPECT_NE(with_values->value_digest, 0u);
}
INSTANTIATE_TEST_SUITE_P(
    All, FabricCollectiveValues,
    testing::Values(Case{"groqnode", 0, Kind::kAllReduce, 5000, Algorithm::kAuto},
                    Case{"groqnode", 0, Kind::kAllToAll, 5000, Algorithm::kAuto},
                    Case{"groqnode", 3, Kind::kAllReduce, 4 * kWord, Algorithm::kTrees},
                    Case{"ring4", 0, Kind::kAllReduce, 5 * kWord, Algorithm::kTrees},
                    Case{"ring4", 0, Kind::kAllReduce, kWord, Algorithm::kExchange},
                    Case{"groqrack", 0, Kind::kAllReduce, 320, Algorithm::kExchange},
                    Case{"groqrack", 0, Kind::kAllReduce, 3 * kWord, Algorithm::kTrees},
                    Case{"groqrack", 0, Kind::kAllReduce, 20 * kWord, Algorithm::kTrees},
                    Case{"groqrack", 64, Kind::kAllReduce, 10 * kWord, Algorithm::kTrees},
                    Case{"groqrack", 0, Kind::kReduceScatter, 100 * kWord, Algorithm::kAuto},
                    Case{"groqrack", 0, Kind::kAllGather, 72 * kWord, Algorithm::kAuto},
                    Case{"groqrack", 0, Kind::kBroadcast, 3 * kWord, Algorithm::kTrees},
                    Case{"groqrack", 0, Kind::kBroadcast, 150 * kWord, Algorithm::kRelay},
                    Case{"groqrack", 0, Kind::kAllToAll, 72 * kWord, Algorithm::kAuto},
                    Case{"groqrack", 0, Kind::kSendRecv, 20 * kWord, Algorithm::kAuto},
                    Case{"ring4", 0, Kind::kSendRecv, 5 * kWord, Algorithm::kAuto},
                    Case{"ring4", 0, Kind::kAllToAll, 8 * kWord, Algorithm::kAuto},
                    Case{"dragonfly-264", 0, Kind::kAllReduce, 320, Algorithm::kAuto},
                    Case{"dragonfly-264", 256, Kind::kAllReduce, 320, Algorithm::kExchange},
                    Case{"dragonfly-264", 0, Kind::kAllReduce, 33 * kWord, Algorithm::kTrees}));

absl::StatusOr<CollectiveOutcome> Timed(const Topology& topology, int64_t bytes,
                                        Algorithm algorithm = Algorithm::kAuto,
                                        const char* preset = "B") {
  return RunCollective(
      topology,
      {.kind = Kind::kAllReduce, .bytes = bytes, .hop_latency = preset, .algorithm = algorithm});
}

TEST(FabricCollectiveTest, TenThousandChipsAddOneVectorInTwiceTheDepthOfTheTree) {
  const auto outcome = Timed(Load("dragonfly-10440"), 320);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->chips, 10440);
  EXPECT_EQ(outcome->vectors, 2 * 4 * (10440 - 1));  // up and down every edge of a tree, 4 planes
  EXPECT_GT(outcome->cycles, 14 * (469 + 4 * 23));   // 7 hops up, 7 down
  EXPECT_LT(outcome->cycles, 14 * (469 + 4 * 24 + 60));
}

TEST(FabricCollectiveTest, AnExchangeOf264ChipsIsThreeHops) {
  for (const auto& [preset, hop] : {std::pair{"A", 217}, {"B", 469}, {"C", 650}}) {
    const auto outcome = Timed(Load("dragonfly-264"), 320, Algorithm::kExchange, preset);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    // A word is 4 vectors; the last hop forwards the words of 4 cables, and sums read 8 and 33
    // words.
    EXPECT_GT(outcome->cycles, 3 * (hop + 4 * 23));
    EXPECT_LT(outcome->cycles, 3 * hop + (4 + 4 + 16) * 24 + 250);
  }
}

TEST(FabricCollectiveTest, ChipsInOneRoleShareAProgram) {
  const ChipTiming timing = ChipTiming::Default();
  const LinkModel links = *LinkModel::Create();
  const auto rack = CompileFabricCollective(Kind::kAllReduce, 72 * kWord, Load("groqrack"), links,
                                            timing, Algorithm::kTrees);
  ASSERT_TRUE(rack.ok()) << rack.status();
  EXPECT_EQ(rack->programs, 8);
  EXPECT_EQ(rack->schedules[3], rack->schedules[3 + 64]);
  // Turn 2 keeps the words of turn 2 first.
  EXPECT_EQ(rack->Input(2 * 8, 2 * 8).address, rack->Input(0, 0).address);
}

TEST(FabricCollectiveTest, AnotherChipsProgramIsRefusedBeforeTheRun) {
  const Topology rack = Load("groqrack");
  const LinkModel links = *LinkModel::Create();
  const ChipTiming timing = *MakeTiming({}, links);
  auto c = CompileFabricCollective(Kind::kAllReduce, kWord, rack, links, timing, Algorithm::kTrees);
  ASSERT_TRUE(c.ok());
  const Wiring wiring = *MakeWiring(rack, 72, links, timing);
  const std::vector<int64_t> sram(72, c->sram_bytes);
  ASSERT_TRUE(VerifyNode(c->schedules, sram, wiring, timing).ok());
  std::swap(c->schedules[0], c->schedules[70]);
  EXPECT_FALSE(VerifyNode(c->schedules, sram, wiring, timing).ok());
}

TEST(FabricCollectiveTest, LargeMessagesUseAllLinksOfARack) {
  const auto small = Timed(Load("groqrack"), 72 * kWord), large = Timed(Load("groqrack"), 1 << 20);
  ASSERT_TRUE(small.ok() && large.ok());
  EXPECT_GT(large->BusBandwidth(), 1.5 * small->BusBandwidth());
  EXPECT_GT(large->link_share, 0.5);
}

TEST(FabricCollectiveTest, WhatCannotBeMadeIsRefusedWithTheNumbers) {
  const Topology rack = Load("groqrack");
  const auto message = [&](Kind kind, int64_t bytes, Algorithm a = Algorithm::kAuto) {
    return std::string(
        RunCollective(rack, {.kind = kind, .bytes = bytes, .algorithm = a}).status().message());
  };
  EXPECT_THAT(message(Kind::kAllReduce, 0), testing::HasSubstr("a collective of 0 B"));
  EXPECT_THAT(message(Kind::kAllReduce, int64_t{1} << 40), testing::HasSubstr("need 1.."));
  EXPECT_THAT(message(Kind::kAllReduce, 80 << 20), testing::HasSubstr("at most"));
  EXPECT_THAT(message(Kind::kAllToAll, 90'000 * kWord), testing::HasSubstr("at most"));
  EXPECT_THAT(message(Kind::kBroadcast, 320, Algorithm::kExchange),
              testing::HasSubstr("broadcast over 72 chips cannot be made by exchange"));
}

}  // namespace
}  // namespace lockstep
