// Collectives of one node: values on every chip, cycles against the links' rate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "runtime/collectives/collective_run.h"
#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

using Kind = CollectiveKind;
using Algorithm = CollectiveAlgorithm;
constexpr double kLink = 12.195;  // GB/s: 320 B in 2952/125 cycles
constexpr double kVectorCycles = 2952.0 / 125;

Topology Node(int chips = 8) {
  const Topology node =
      *Topology::Create(*LoadTopology("groqnode", LOCKSTEP_SOURCE_DIR "/topologies"));
  return chips == 8 ? node : *node.Subset(chips);
}

CollectiveOutcome Timed(Kind kind, int64_t bytes, Algorithm algorithm = Algorithm::kAuto,
                        const char* preset = "B") {
  auto outcome = RunCollective(Node(), {.kind = kind,
                                        .bytes = bytes,
                                        .hop_latency = preset,
                                        .algorithm = algorithm});
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  return outcome.ok() ? *std::move(outcome) : CollectiveOutcome{};
}

class NodeCollectiveValues : public testing::TestWithParam<std::tuple<Kind, int, int>> {};

// RunCollective compares each lane with its definition.
TEST_P(NodeCollectiveValues, AreRightWithEveryAlgorithm) {
  const auto [kind, chips, words] = GetParam();
  for (const Algorithm algorithm : AlgorithmsOf(kind)) {
    if (algorithm == Algorithm::kRelay && chips < 2) continue;
    const auto outcome = RunCollective(Node(chips), {.kind = kind,
                                                     .bytes = words * int64_t{1280} - 4,
                                                     .engine = EngineKind::kFunctional,
                                                     .algorithm = algorithm});
    ASSERT_TRUE(outcome.ok()) << Name(algorithm) << " " << outcome.status();
    EXPECT_EQ(outcome->algorithm, algorithm);
    EXPECT_NE(outcome->value_digest, 0u);
  }
}
INSTANTIATE_TEST_SUITE_P(All, NodeCollectiveValues,
                         testing::Combine(testing::Values(Kind::kAllReduce, Kind::kReduceScatter,
                                                          Kind::kAllGather, Kind::kBroadcast,
                                                          Kind::kAllToAll, Kind::kSendRecv),
                                          testing::Values(1, 2, 3, 5, 8),
                                          testing::Values(1, 13, 67)));

// t = 2 (L + n vectors): a reduce-scatter, then an all-gather, over 7 links.
TEST(NodeCollectiveTest, ScatterThenGatherKeepTheModelWithin15PercentAndOverlapIsFaster) {
  for (const auto& [preset, hop] : {std::pair{"A", 217}, {"B", 469}, {"C", 650}}) {
    for (const int64_t bytes : {int64_t{1} << 16, int64_t{1} << 20}) {
      const double model = 2 * (hop + static_cast<double>((bytes / 8 + 319) / 320) * kVectorCycles);
      const int64_t one_by_one = Timed(Kind::kReduceScatter, bytes, Algorithm::kAuto, preset).cycles +
                                 Timed(Kind::kAllGather, bytes, Algorithm::kAuto, preset).cycles;
      EXPECT_NEAR(static_cast<double>(one_by_one), model, 0.15 * model) << preset << bytes;
      EXPECT_LT(Timed(Kind::kAllReduce, bytes, Algorithm::kTrees, preset).cycles, one_by_one);
    }
  }
}

TEST(NodeCollectiveTest, LargeMessagesTakeWhatLinksCarryInVectors) {
  const int64_t bytes = int64_t{8} << 20;
  EXPECT_GT(Timed(Kind::kAllReduce, bytes).BusBandwidth(), 0.99 * 7 * kLink);
  EXPECT_GT(Timed(Kind::kReduceScatter, bytes).BusBandwidth(), 0.98 * 7 * kLink);
  EXPECT_GT(Timed(Kind::kAllGather, bytes).BusBandwidth(), 0.98 * 7 * kLink);
  EXPECT_GT(Timed(Kind::kAllToAll, bytes).BusBandwidth(), 0.98 * 7 * kLink);
  // All 7 links of chip 0 hand out, each word once; then each of the others has 6 to tell.
  EXPECT_GT(Timed(Kind::kBroadcast, bytes).BusBandwidth(), 0.97 * 7 * kLink);
  // One link straight on, six over third chips, each of which carries every word twice.
  EXPECT_GT(Timed(Kind::kSendRecv, bytes).BusBandwidth(), 0.97 * 4 * kLink);
}

TEST(NodeCollectiveTest, SmallMessagesTakeOneHop) {
  for (const Kind kind : {Kind::kAllReduce, Kind::kReduceScatter, Kind::kAllGather,
                          Kind::kBroadcast, Kind::kAllToAll, Kind::kSendRecv}) {
    // Four vectors, a hop, and what it takes to read, store and add eight words.
    EXPECT_LT(Timed(kind, 1280).cycles, 469 + 4 * kVectorCycles + 60) << Name(kind);
  }
}

TEST(NodeCollectiveTest, AnAlgorithmThatIsNotThereForAKindIsRefused) {
  const auto message = [](Kind kind, Algorithm algorithm) {
    return std::string(
        RunCollective(Node(), {.kind = kind, .bytes = 320, .algorithm = algorithm})
            .status().message());
  };
  EXPECT_EQ(message(Kind::kBroadcast, Algorithm::kExchange),
            "broadcast over 8 chips cannot be made by exchange");
  EXPECT_EQ(message(Kind::kAllReduce, Algorithm::kRoutes),
            "all-reduce over 8 chips cannot be made by routes");
}

}  // namespace
}  // namespace lockstep
