// Our side of a comparison: rounds, and what the summary says.
#include "runtime/comparison/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

using nccl::Operation;
using ::testing::HasSubstr;

Topology Node() {
  return *Topology::Create(*LoadTopology("groqnode", LOCKSTEP_SOURCE_DIR "/topologies"));
}

TEST(CompareTest, LargeMessagesAreRoundsAndARest) {
  const Topology node = Node();
  constexpr int64_t kRound = 256 << 10;
  LockstepSide side(node, Operation::kAllReduce, 0, kRound);
  const auto round = side.Run(kRound), rest = side.Run(4096);
  const auto both = side.Run(3 * kRound + 4096);
  ASSERT_TRUE(round.ok() && rest.ok() && both.ok());
  EXPECT_EQ(both->rounds, 4);
  EXPECT_NEAR(both->point.time_us, 3 * round->point.time_us + rest->point.time_us, 1e-6);
  // 7 links of 320 B in 23.616 cycles at 0.9 GHz: 85.4 GB/s.
  EXPECT_GT(round->point.busbw, 0.8 * 85.4);
  EXPECT_LT(round->point.busbw, 85.4);
}

TEST(CompareTest, SmallMessagesAreCheckedAndNearTheHopBound) {
  const Topology node = Node();
  LockstepSide side(node, Operation::kAllReduce, 1024);
  const auto point = side.Run(1024);
  ASSERT_TRUE(point.ok()) << point.status();
  EXPECT_TRUE(point->values_checked);
  EXPECT_GT(point->point.time_us, 469 / 900.0);  // one hop
  EXPECT_LT(point->point.time_us, 2 * 469 / 900.0);
}

ComparedSize Row(int64_t bytes, double ours, double theirs) {
  ComparedSize row;
  row.lockstep = LockstepPoint{{bytes, 1, ours, ours}};
  row.baseline.point = {bytes, 1, theirs, theirs};
  return row;
}

// Shares of the channels: 80/100 over 60/300, 80/100 over 80/300, 80/100 over 240/300.
TEST(CompareTest, TheSummaryFindsCrossoversAndThreeTimesTheBandwidth) {
  const std::string text =
      CompareSummary({Row(1024, 80, 60), Row(2048, 80, 80.1), Row(4096, 80, 240)}, {100, 300});
  EXPECT_THAT(text, HasSubstr("3.00 times as much"));
  EXPECT_THAT(text, HasSubstr("Ours is faster at: 1K\n"));
  EXPECT_THAT(text, HasSubstr("Per channel bandwidth ours is ahead at: 1K to 2K\n"));
  EXPECT_THAT(text, HasSubstr("About 3 (2.5 to 3.5) at: 2K; above 3.5 at: 1K; 1.00 at 4K."));
}

}  // namespace
}  // namespace lockstep
