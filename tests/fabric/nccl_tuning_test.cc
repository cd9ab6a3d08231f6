// NCCL's model and choice, against arithmetic from its source by version.
#include "fabric/nccl/tuning.h"

#include <gtest/gtest.h>

#include "tests/fabric/nccl_machines.h"

namespace lockstep::nccl {
namespace {

constexpr int64_t kKiB = 1 << 10, kMiB = 1 << 20;

double BestUs(Version version, int64_t bytes) {
  double best = 1e30;
  for (const Candidate& c : Candidates(Ampere(), version, {Operation::kAllReduce, bytes, 8})) {
    best = std::min(best, c.time_us);
  }
  return best;
}

// Of 8 GPUs with a graph of 12 x 20 GB/s: latency + bytes / bandwidth of the best.
TEST(NcclTuningTest, ModelGivesTheTimesOfItsSourceByVersion) {
  struct Row {
    int64_t bytes;
    double v17, v19, v21;
  };
  for (const Row& row : {Row{8, 10.2, 15.0, 15.0}, Row{32 * kKiB, 11.2, 16.0, 15.7},
                         Row{256 * kKiB, 18.0, 22.6, 20.2}, Row{kMiB, 41.4, 45.6, 35.9},
                         Row{16 * kMiB, 172.4, 173.6, 173.6}, Row{64 * kMiB, 555.7, 545.3, 545.3},
                         Row{1024 * kMiB, 8051.9, 7885.4, 7885.4}}) {
    EXPECT_NEAR(BestUs(Version(17, 1), row.bytes), row.v17, 0.06) << row.bytes;
    EXPECT_NEAR(BestUs(Version(19, 3), row.bytes), row.v19, 0.06) << row.bytes;
    EXPECT_NEAR(BestUs(Version(21, 5), row.bytes), row.v21, 0.06) << row.bytes;
  }
}

Choice AllReduceChoice(const Machine& m, Version v, int64_t bytes) {
  return *Choose(m, v, {Operation::kAllReduce, bytes, 8});
}

TEST(NcclTuningTest, AmpereGoesFromLlToLl128ToSimple) {
  const Version v(17, 1);
  EXPECT_EQ(AllReduceChoice(Ampere(), v, kMiB).protocol, Protocol::kLl);
  EXPECT_EQ(AllReduceChoice(Ampere(), v, 2 * kMiB).protocol, Protocol::kLl128);
  EXPECT_EQ(AllReduceChoice(Ampere(), v, 16 * kMiB).protocol, Protocol::kLl128);
  EXPECT_EQ(AllReduceChoice(Ampere(), v, 64 * kMiB).protocol, Protocol::kSimple);
  for (int64_t bytes = 8; bytes <= int64_t{8} << 30; bytes *= 2) {
    EXPECT_EQ(AllReduceChoice(Ampere(), v, bytes).algorithm, Algorithm::kRing) << bytes;
  }
}

TEST(NcclTuningTest, From221LlReachesTwoMebibytes) {
  EXPECT_EQ(AllReduceChoice(Ampere(), Version(20, 5), 2 * kMiB).protocol, Protocol::kLl128);
  EXPECT_EQ(AllReduceChoice(Ampere(), Version(21, 5), 2 * kMiB).protocol, Protocol::kLl);
}

TEST(NcclTuningTest, HopperTakesTheSwitchForLargeMessagesSince217) {
  EXPECT_EQ(AllReduceChoice(Hopper(), Version(21, 5), kMiB).algorithm, Algorithm::kRing);
  EXPECT_EQ(AllReduceChoice(Hopper(), Version(21, 5), 2 * kMiB).algorithm, Algorithm::kNvls);
  EXPECT_EQ(AllReduceChoice(Hopper(), Version(16, 2), 64 * kMiB).algorithm, Algorithm::kRing);
  const auto two = Choose(Hopper(), Version(21, 5), {Operation::kAllReduce, 64 * kMiB, 2});
  EXPECT_EQ(two->algorithm, Algorithm::kRing);
}

// 512 threads x 8 B x 8 ranks = 32 KiB a channel.
TEST(NcclTuningTest, SmallMessagesGetFewChannelsAndThreads) {
  const auto scale = [](int64_t bytes) {
    return Scale(Ampere(), {Operation::kAllReduce, bytes, 8}, Algorithm::kRing, Protocol::kLl);
  };
  EXPECT_EQ(scale(8).channels, 1);
  EXPECT_EQ(scale(8).threads, 96);
  EXPECT_EQ(scale(16 * kKiB).threads, 256);
  EXPECT_EQ(scale(64 * kKiB - 1).channels, 1);
  EXPECT_EQ(scale(64 * kKiB).channels, 2);
  EXPECT_EQ(scale(24 * 32 * kKiB - 1).channels, 23);
  EXPECT_EQ(scale(24 * 32 * kKiB).channels, 24);
}

TEST(NcclTuningTest, WhatDoesNotExistCannotBeForced) {
  const Call call{Operation::kAllReduce, kMiB, 8};
  const auto nvls = Choose(Ampere(), Version(17, 1), call, {Algorithm::kNvls, std::nullopt});
  EXPECT_EQ(nvls.status().message(),
            "NVLS with any protocol is not among what NCCL 2.17.1 has for all_reduce of 8 GPUs on "
            "ampere");
  EXPECT_FALSE(Choose(Ampere(), Version(17, 1), {Operation::kAllToAll, kMiB, 8},
                      {std::nullopt, Protocol::kLl}).ok());
}

TEST(NcclTuningTest, VersionsOutsideTheComparedRangeAreRefused) {
  EXPECT_EQ(*Version::Parse("2.18.3"), Version(18, 3));
  for (const char* bad : {"", "2", "2.7", "2.31", "3.17", "2.17.1.1", "2.x", "2.17.-1"}) {
    EXPECT_FALSE(Version::Parse(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace lockstep::nccl
