// What the timing engine shares between chips, keeps between executions, and waits for.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "chip/timing.h"
#include "tests/chip/timing_random.h"

namespace lockstep {
namespace {

class LastAges : public Observer {
 public:
  void OnRun(uint32_t, const RunRetired& run) override { ages.push_back(run.operand_age); }
  std::vector<int64_t> ages;
};

std::shared_ptr<const Schedule> InstallAndFeed(bool install) {
  std::vector<Draft> drafts = {
      {VxmQueue(0), 5, Make(Opcode::kHac, {32})},  // at the west end, 13 hops on, in cycle 19
      {MxmQueue(0, kMxmAbc), 19, Make(Opcode::kAbcStream, {kTypeI8, 0, 32})}};
  if (install) drafts.push_back({MxmQueue(0, kMxmIw), 3, Make(Opcode::kIw, {kTypeI8})});
  return MakeSchedule(drafts);
}

std::shared_ptr<const Schedule> SendThenReceive(int64_t t, bool broken) {
  std::vector<Draft> drafts = {{C2cQueue(1), 10, Make(Opcode::kTransmit, {})},
                               {C2cQueue(0), t, Make(Opcode::kReceive, {9, 0, 0})}};
  // Reads a stream that holds nothing, in cycle 40.
  if (broken) drafts.push_back({MemQueue(3), 40, Make(Opcode::kWrite, {0, 0, 0})});
  return MakeSchedule(drafts);
}

ScriptedPort Cabled(std::vector<int64_t> arrivals) {
  ScriptedPort port;
  port.cabled[0] = port.cabled[1] = true;
  port.arrivals[0] = std::move(arrivals);
  return port;
}

TEST(TimingEngineTest, MxmStateStaysBetweenExecutions) {
  ScriptedPort port;
  TimingEngine engine(0, ChipTiming::Default());
  for (bool install : {true, false, false}) {
    engine.Start(InstallAndFeed(install));
    ASSERT_EQ(engine.Run(port), EngineState::kDone);
  }
  TimingEngine fresh(0, ChipTiming::Default());
  fresh.Start(InstallAndFeed(false));
  ASSERT_EQ(fresh.Run(port), EngineState::kFault);
  EXPECT_EQ(fresh.fault().kind, FaultKind::kPlaneEmpty);
}

TEST(TimingEngineTest, ASettledStateIsCheckedOnce) {
  CheckCache cache(ChipTiming::Default());
  const std::shared_ptr<const Schedule> schedule = InstallAndFeed(true);
  const auto first = cache.Check(schedule, std::make_shared<const MxmState>());
  const auto second = cache.Check(schedule, first->after);
  const auto third = cache.Check(schedule, second->after);
  EXPECT_NE(first, second);
  EXPECT_EQ(second, third);
  EXPECT_EQ(first->program, second->program);
}

TEST(TimingEngineTest, TheCacheForgetsSchedulesThatNobodyHolds) {
  CheckCache cache(ChipTiming::Default());
  const auto state = std::make_shared<const MxmState>();
  for (int i = 0; i < 10; ++i) cache.Check(InstallAndFeed(true), state);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(TimingEngineTest, ChipsThatShareACheckGiveTheDigestsOfChipsThatDoNot) {
  const auto cache = std::make_shared<CheckCache>(ChipTiming::Default());
  const std::shared_ptr<const Schedule> schedule = SendThenReceive(30, false);
  std::vector<uint64_t> digests;
  for (int64_t arrival : {20, 20, 25}) {
    TimingEngine shared(0, cache), alone(1, ChipTiming::Default());
    for (Engine* engine : {static_cast<Engine*>(&shared), static_cast<Engine*>(&alone)}) {
      ScriptedPort port = Cabled({arrival});
      engine->Start(schedule);
      ASSERT_EQ(engine->Run(port), EngineState::kDone);
    }
    EXPECT_EQ(shared.timing_digest(), alone.timing_digest());
    digests.push_back(shared.timing_digest());
  }
  EXPECT_EQ(digests[0], digests[1]);
  EXPECT_NE(digests[0], digests[2]);  // another age of the received vector
}

TEST(TimingEngineTest, AWriteDownstreamReplacesWhatFlows) {
  std::vector<Draft> drafts = {{MemQueue(0), 10, Make(Opcode::kHac, {0})},     // position 12 @11
                               {VxmQueue(0), 11, Make(Opcode::kHac, {0})},     // position 13 @12
                               {MemQueue(44), 13, Make(Opcode::kWrite, {0, 0, 0})}};
  ScriptedPort port;
  for (const auto& [replaced, age] : {std::pair(true, 1), std::pair(false, 2)}) {
    if (!replaced) drafts.erase(drafts.begin() + 1);
    LastAges observer;
    TimingEngine engine(0, ChipTiming::Default(), &observer);
    engine.Start(MakeSchedule(drafts));
    ASSERT_EQ(engine.Run(port), EngineState::kDone);
    EXPECT_EQ(observer.ages.back(), age);
  }
}

TEST(TimingEngineTest, SendsBeforeAReceiveThatIsNotKnownYetAreHandedOver) {
  ScriptedPort port = Cabled({20});
  port.stutters[0] = 1;
  TimingEngine engine(0, ChipTiming::Default());
  engine.Start(SendThenReceive(30, false));
  ASSERT_EQ(engine.Run(port), EngineState::kBlocked);
  EXPECT_EQ(engine.blocked_link(), 0);
  EXPECT_EQ(engine.cycle(), 30);
  EXPECT_EQ(port.sent, (std::vector<std::pair<int, int64_t>>{{1, 10 * kTicksPerCycle}}));
  EXPECT_EQ(engine.Run(port), EngineState::kDone);
}

TEST(TimingEngineTest, TheEarlierOfAnOnChipAndALinkFaultIsReported) {
  // The broken write is in cycle 40; the receive finds nothing in its own.
  for (const auto& [receive, kind] : {std::pair(39, FaultKind::kReceiveEmpty),
                                      std::pair(40, FaultKind::kStreamEmpty),  // the lower queue
                                      std::pair(41, FaultKind::kStreamEmpty)}) {
    ScriptedPort port = Cabled({});
    TimingEngine engine(0, ChipTiming::Default());
    engine.Start(SendThenReceive(receive, true));
    ASSERT_EQ(engine.Run(port), EngineState::kFault);
    EXPECT_EQ(engine.fault().kind, kind) << receive;
    EXPECT_EQ(engine.timing_digest(), TimingEngine(0, ChipTiming::Default()).timing_digest());
  }
}

}  // namespace
}  // namespace lockstep
