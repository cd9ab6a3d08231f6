// The event loop: waiting, back-pressure, ports, launches, and the account of time.
#include "fabric/nccl/flow.h"

#include <gtest/gtest.h>

namespace lockstep::nccl {
namespace {

constexpr int64_t kWire = 10, kMb = 1'000'000;  // 1 byte takes 1 ps on a port of kMb MB/s

Unit Work(int64_t ps, int in, int out, int64_t bytes = 0, int to = -1) {
  Unit u;
  u.fixed_ps = ps, u.inputs = in, u.outputs = out, u.port_bytes = bytes, u.to = to;
  return u;
}

// GPU 0 sends `units` to GPU 1, each 100 ps to make and `take` to handle.
FlowResult Pipe(int units, int slots, int64_t take, int launches = 1) {
  Flow flow(2, 0, kWire, kMb, kMb);
  const int a = flow.AddBlock(0), b = flow.AddBlock(1);
  const int c = flow.AddSet({flow.AddConnection(slots)});
  for (int i = 0; i < units; ++i) {
    flow.Add(a, Work(100, 0, c));
    flow.Add(b, Work(take, c, 0));
  }
  return flow.Run(launches);
}

TEST(NcclFlowTest, AUnitIsHandledOnceItIsInSight) {
  // GPU 0 ends at 100, GPU 1 at 100 + 10 + 100; the period is their mean.
  EXPECT_EQ(Pipe(1, 8, 100).period_ps, (100 + 210) / 2);
}

TEST(NcclFlowTest, BlocksWorkAtTheSameTime) {
  EXPECT_EQ(Pipe(10, 8, 100).period_ps, (1000 + 1110) / 2);
}

TEST(NcclFlowTest, ASlowReceiverHoldsTheSenderBackWhenSlotsAreFull) {
  // With 10 slots the sender is never held: 1000. With one it waits for each unit to be handled
  // (400) and for the news (10) before the next (100), which takes 10 to be seen.
  EXPECT_EQ(Pipe(10, 10, 400).period_ps, (1000 + 110 + 4000) / 2);
  EXPECT_EQ(Pipe(10, 1, 400).period_ps, (9 * 520 + 100 + 10 * 520 - 10) / 2);
}

TEST(NcclFlowTest, BlocksOfAGpuShareItsPort) {
  Flow flow(2, 0, kWire, kMb, kMb);
  for (int i = 0; i < 3; ++i) {
    const int c = flow.AddSet({flow.AddConnection(1)});
    flow.Add(flow.AddBlock(0), Work(100, 0, c, 1000, 1));
    flow.Add(flow.AddBlock(1), Work(0, c, 0));
  }
  const FlowResult result = flow.Run(1);
  EXPECT_EQ(result.period_ps, (3000 + 3010) / 2);
  EXPECT_EQ(result.critical.port, 2900);
  EXPECT_EQ(result.critical.wire, 10);
}

TEST(NcclFlowTest, SendersToOneGpuShareItsPort) {
  Flow flow(3, 0, kWire, kMb, kMb);
  for (int gpu : {0, 1}) {
    const int c = flow.AddSet({flow.AddConnection(1)});
    flow.Add(flow.AddBlock(gpu), Work(100, 0, c, 1000, 2));
    flow.Add(flow.AddBlock(2), Work(0, c, 0));
  }
  EXPECT_EQ(flow.Run(1).period_ps, (1000 + 2000 + 2010) / 3);
}

TEST(NcclFlowTest, MulticastTakesTheOwnPortTwiceAndAllOthersOnce) {
  Flow flow(2, 0, kWire, kMb, kMb);
  flow.Add(flow.AddBlock(0), Work(0, 0, 0, 1000, kAll));
  flow.Add(flow.AddBlock(1), Work(1, 0, 0, 1000, kAll));
  EXPECT_EQ(flow.Run(1).period_ps, (2000 + 3000) / 2);
}

TEST(NcclFlowTest, KernelsFollowEachOtherAfterTheLaunchGap) {
  Flow flow(1, 50, kWire, kMb, kMb);
  const int a = flow.AddBlock(0), b = flow.AddBlock(0);
  flow.Add(a, Work(100, 0, 0));
  flow.Add(b, Work(300, 0, 0));
  const FlowResult result = flow.Run(4);
  EXPECT_EQ(result.period_ps, 350);
  EXPECT_EQ(result.critical.launch, 50);
  EXPECT_EQ(result.critical.fixed, 300);
}

TEST(NcclFlowTest, TheAccountOfTimeAddsUp) {
  Flow flow(2, 7, kWire, kMb, kMb);
  const int a = flow.AddBlock(0), b = flow.AddBlock(1);
  const int c = flow.AddSet({flow.AddConnection(2)});
  for (int i = 0; i < 20; ++i) {
    flow.Add(a, Work(30 + i % 3, 0, c, 40, 1));
    flow.Add(b, Work(i % 5 * 20, c, 0));
  }
  const FlowResult result = flow.Run(1);
  const Breakdown& x = result.critical;
  EXPECT_GT(x.credit + x.wire, 0);
  EXPECT_GE(x.Sum(), result.period_ps);  // of the last GPU; the period is the mean
  EXPECT_LE(x.Sum(), 2 * result.period_ps);
}

TEST(NcclFlowDeathTest, ABlockThatNobodyFeedsIsABug) {
  Flow flow(1, 0, kWire, kMb, kMb);
  flow.Add(flow.AddBlock(0), Work(1, flow.AddSet({flow.AddConnection(1)}), 0));
  EXPECT_DEATH(flow.Run(1), "GPU 0 starves");
}

}  // namespace
}  // namespace lockstep::nccl
