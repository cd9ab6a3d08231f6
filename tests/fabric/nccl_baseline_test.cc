// Whole calls: against measured times, limits of the machine, and odd sizes.
#include "fabric/nccl/baseline.h"

#include <gtest/gtest.h>

#include "tests/fabric/nccl_machines.h"

namespace lockstep::nccl {
namespace {

constexpr int64_t kMiB = 1 << 20;

double Us(const Machine& m, Operation op, int64_t bytes, int ranks = 8, Options options = {}) {
  const auto outcome = Simulate(m, options, {op, bytes, ranks});
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  return outcome.ok() ? static_cast<double>(outcome->time_ps) / 1e6 : 0;
}

// Single figures of the log that dgx-a100.textproto names.
TEST(NcclBaselineTest, AmpereMeetsMeasuredTimesWithinTenPercent) {
  for (const auto& [bytes, us] : {std::pair{int64_t{8}, 18.75}, {4096, 23.22}, {65536, 28.32},
                                  {kMiB, 37.33}, {4 * kMiB, 84.77}, {32 * kMiB, 353.9},
                                  {64 * kMiB, 579.2}, {1024 * kMiB, 8212.6}}) {
    EXPECT_NEAR(Us(Ampere(), Operation::kAllReduce, bytes) / us, 1, 0.1) << bytes;
  }
}

// Never calibrated on: an 8-GPU H100's rings by the clock alone (AWS p5 log, see dgx-h100.textproto).
TEST(NcclBaselineTest, HopperFollowsFromAmpereByItsClock) {
  for (const auto& [bytes, us] : {std::pair{int64_t{8}, 12.90}, {4096, 16.76}, {262144, 20.27}}) {
    EXPECT_NEAR(Us(Hopper(), Operation::kAllReduce, bytes) / us, 1, 0.1) << bytes;
  }
}

// NVIDIA in nccl issue 1455: 370, 420, 440, 460, 480 GB/s bus bandwidth for 4 to 8 GPUs.
TEST(NcclBaselineTest, MulticastBandwidthByGpusIsAsPublished) {
  const double published[] = {370, 420, 440, 460, 480};
  const int64_t bytes = int64_t{1} << 30;
  Options nvls;
  nvls.forced.algorithm = Algorithm::kNvls;
  for (int n = 4; n <= 8; ++n) {
    const double us = Us(Hopper(), Operation::kAllReduce, bytes, n, nvls);
    const double busbw =
        static_cast<double>(bytes) / (us * 1e3) * BusFactor(Operation::kAllReduce, n);
    EXPECT_NEAR(busbw / published[n - 4], 1, 0.06) << n;
  }
}

TEST(NcclBaselineTest, From32To512KibibytesTimeHardlyChanges) {
  const double at32 = Us(Ampere(), Operation::kAllReduce, 32 << 10);
  EXPECT_NEAR(Us(Ampere(), Operation::kAllReduce, 512 << 10), at32, 0.05 * at32);
}

TEST(NcclBaselineTest, NothingIsFasterThanThePort) {
  for (int op = 0; op < 6; ++op) {
    for (int ranks : {2, 3, 4, 8}) {
      const auto operation = static_cast<Operation>(op);
      const int64_t bytes = 256 * kMiB;
      const double algbw =
          static_cast<double>(bytes) / (Us(Ampere(), operation, bytes, ranks) * 1e3);
      EXPECT_LT(algbw * BusFactor(operation, ranks), 235.0) << Name(operation) << ranks;
      EXPECT_GT(algbw * BusFactor(operation, ranks), 45.0) << Name(operation) << ranks;
    }
  }
}

TEST(NcclBaselineTest, AnySizeWorks) {
  for (int op = 0; op < 6; ++op) {
    for (int64_t bytes : {1, 3, 31, 33, 1000, 4097, 786'431, 12'345'678}) {
      for (Version v : {Version(8, 4), Version(17, 1), Version(24, 3)}) {
        Options options;
        options.version = v;
        EXPECT_GT(Us(Ampere(), static_cast<Operation>(op), bytes, 7, options), 5) << op << bytes;
      }
    }
  }
}

TEST(NcclBaselineTest, FewerGpusAreFaster) {
  for (int64_t bytes : {int64_t{8}, int64_t{65536}, 16 * kMiB}) {
    const double two = Us(Ampere(), Operation::kAllReduce, bytes, 2);
    const double four = Us(Ampere(), Operation::kAllReduce, bytes, 4);
    EXPECT_LT(two, four) << bytes;
    EXPECT_LT(four, Us(Ampere(), Operation::kAllReduce, bytes, 8)) << bytes;
  }
}

TEST(NcclBaselineTest, ATreeIsAChainHereAndNeverWins) {
  Options tree;
  tree.forced.algorithm = Algorithm::kTree;
  for (int64_t bytes : {int64_t{1024}, kMiB, 64 * kMiB}) {
    EXPECT_GT(Us(Ampere(), Operation::kAllReduce, bytes, 8, tree),
              Us(Ampere(), Operation::kAllReduce, bytes));
  }
}

TEST(NcclBaselineTest, OneProcessForAllGpusShowsItsHost) {
  Options serial;
  serial.launch = LaunchMode::kSerial;
  // 8 GPUs x (4.2 us + 1 or 24 channels x 0.194 us) before kernels count.
  EXPECT_NEAR(Us(Ampere(), Operation::kAllGather, 32, 8, serial), 8 * 4.394, 1);
  EXPECT_GT(Us(Ampere(), Operation::kAllGather, kMiB, 8, serial), 8 * (4.2 + 24 * 0.194));
  Machine silent = Ampere();
  silent.has_serial = false;
  EXPECT_FALSE(Simulate(silent, serial, {Operation::kAllReduce, 8, 8}).ok());
}

TEST(NcclBaselineTest, BadCallsAreRefusedWithTheirValue) {
  const auto error = [](const Machine& m, const Call& call, Options options = {}) {
    return std::string(Simulate(m, options, call).status().message());
  };
  EXPECT_EQ(error(Ampere(), {Operation::kAllReduce, 8, 9}), "9 GPUs: ampere has 2 to 8");
  EXPECT_EQ(error(Ampere(), {Operation::kAllReduce, 8, 1}), "1 GPUs: ampere has 2 to 8");
  EXPECT_EQ(error(Ampere(), {Operation::kAllReduce, 0, 8}),
            "a message of 0 B: need 1 to 17179869184");
  EXPECT_EQ(error(Ampere(), {Operation::kAllReduce, -4, 8}),
            "a message of -4 B: need 1 to 17179869184");
  Options ll;
  ll.forced.protocol = Protocol::kLl;
  EXPECT_EQ(error(Ampere(), {Operation::kAllReduce, 1024 * kMiB, 8}, ll),
            "LL of 1073741824 B is not simulated, up to 268435456 B is");
  Machine broken = Ampere();
  broken.costs.copy_bytes = 0;
  EXPECT_EQ(error(broken, {Operation::kAllReduce, 8, 8}),
            "costs.copy_bytes is 0; need 1 to 16777216");
}

}  // namespace
}  // namespace lockstep::nccl
