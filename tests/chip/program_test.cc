// Dispatch: the cycle of every instruction follows from the text.
#include "chip/program.h"

#include "chip/text.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

DispatchResult Of(const std::string& text, DispatchContext context = {}) {
  const auto program = Assemble(text);
  EXPECT_TRUE(program.ok()) << program.status();
  return Dispatch(program.value_or(Program()), ChipTiming::Default(), context);
}

int64_t LastFirst(const std::string& text, DispatchContext context = {}) {
  const DispatchResult r = Of(text, context);
  EXPECT_FALSE(r.fault) << r.fault->ToString();
  return r.schedule.runs.empty() ? -1 : r.schedule.runs.back().first;
}

// Kind and cycle of the fault, kind -1 if there is none.
std::pair<int, int64_t> FaultOf(const std::string& text) {
  const DispatchResult r = Of(text);
  return r.fault ? std::pair(static_cast<int>(r.fault->kind), r.fault->cycle) : std::pair(-1, int64_t{0});
}
std::pair<int, int64_t> At(FaultKind kind, int64_t cycle) { return {static_cast<int>(kind), cycle}; }

std::string Times(int n, const std::string& line) {
  std::string out;
  for (int i = 0; i < n; ++i) out += line;
  return out;
}

TEST(DispatchTest, NopLetsItsCyclesPass) {
  EXPECT_EQ(LastFirst("mem0:\nread 0, 0, e0\nnop 5\nread 1, 0, e0\n"), 1 + 5);
}

TEST(DispatchTest, RepeatSpacesAndStrides) {
  const DispatchResult r = Of("mem0:\nread 10, 2, e0\nrepeat 3, 4\nread 1, 0, e0\n");
  ASSERT_EQ(r.schedule.runs.size(), 2u);
  EXPECT_EQ(r.schedule.runs[0].last(), 3 * 4);
  EXPECT_EQ(InstructionAt(r.schedule.runs[0], 3).arg[0], 10 + 3 * 2);
  EXPECT_EQ(r.schedule.runs[1].first, 3 * 4 + 1);
  EXPECT_EQ(r.schedule.dispatches, 5);
  EXPECT_EQ(r.schedule.end, 14);
}

TEST(DispatchTest, JoinedPairDispatchesAndRepeatsAsOne) {
  const DispatchResult r = Of("mem0:\nread 0, 1, e0\n& write 4096, 1, e1\nrepeat 9, 2\nsync\n"
                              "mem1:\nnop 30\nnotify\n");
  ASSERT_EQ(r.schedule.runs.size(), 3u);
  EXPECT_EQ(r.schedule.runs[0].first, r.schedule.runs[1].first);
  EXPECT_EQ(r.schedule.runs[1].last(), 18);
}

TEST(DispatchTest, OnlyAReadAndAWriteJoin) {
  EXPECT_EQ(FaultOf("mem0:\nread 0, 0, e0\n& read 1, 0, e1\n"), At(FaultKind::kBadInstruction, 1));
  EXPECT_EQ(FaultOf("mem0:\nhac e0\n& read 1, 0, e1\n"), At(FaultKind::kBadInstruction, 1));
  EXPECT_EQ(FaultOf("mem0:\n& read 1, 0, e1\n"), At(FaultKind::kBadInstruction, 0));
}

TEST(DispatchTest, NotifyReleasesThirtyFiveCyclesLater) {
  const std::string notify = "mem1:\nnop 100\nnotify\n";
  EXPECT_EQ(LastFirst("mem0:\nsync\nread 0, 0, e0\n" + notify), 135);
  // Parked by the cycle before the release arrives: released. One later: never.
  EXPECT_EQ(LastFirst("mem0:\nnop 134\nsync\nread 0, 0, e0\n" + notify), 135);
  EXPECT_EQ(FaultOf("mem0:\nnop 135\nsync\nread 0, 0, e0\n" + notify),
            At(FaultKind::kNeverReleased, 135));
}

TEST(DispatchTest, EachSyncNeedsItsOwnNotify) {
  EXPECT_EQ(LastFirst("mem0:\nsync\nsync\nread 0, 0, e0\nmem1:\nnotify\nnop 49\nnotify\n"), 85);
  EXPECT_EQ(FaultOf("mem0:\nsync\nsync\nmem1:\nnotify\n"), At(FaultKind::kNeverReleased, 35));
}

TEST(DispatchTest, AQueueThatFaultsIsBlamedBeforeTheOneItWouldHaveReleased) {
  EXPECT_EQ(FaultOf("mem0:\nsync\nmem1:\nnop 5\nrepeat 1, 1\nnotify\n"),
            At(FaultKind::kBadInstruction, 5));
}

TEST(DispatchTest, DeskewWaitsForTheCounterToOverflow) {
  const std::string text = "mem0:\ndeskew\nread 0, 0, e0\n";
  EXPECT_EQ(LastFirst("mem0:\nnop 10\ndeskew\nread 0, 0, e0\n"), 252);
  EXPECT_EQ(LastFirst(text), 252);
  EXPECT_EQ(LastFirst(text, {0, 251, 0}), 1);
}

TEST(DispatchTest, RuntimeDeskewIsCorrectedByTheDrift) {
  const std::string text = "mem0:\nruntime_deskew 50\nread 0, 0, e0\n";
  EXPECT_EQ(LastFirst(text), 50);
  EXPECT_EQ(LastFirst(text, {0, 0, 3}), 53);
  EXPECT_EQ(LastFirst(text, {0, 0, -3}), 47);
  EXPECT_EQ(LastFirst(text, {0, 0, -90}), 1);
}

TEST(DispatchTest, AQueueRunsEmptyUnlessTheFetchIsOneInstructionEarlier) {
  // 80 instructions are there at the start; the 81st, in cycle 80, needs text that ifetch brings
  // d_func = 2 cycles after its dispatch.
  const auto program = [](int before) {
    return ".fetched\nmem0:\n" + Times(before, "config 20\n") + "ifetch e0\n" +
           Times(80 - before, "config 20\n");
  };
  EXPECT_EQ(FaultOf(program(79)), At(FaultKind::kQueueEmpty, 80));
  EXPECT_EQ(FaultOf(program(78)).first, -1);
}

TEST(DispatchTest, ARepeatedFetchBringsItsTextEachTime) {
  const auto program = [](int more) {
    return ".fetched\nmem0:\nifetch e0\nrepeat 1, 2\nnop 2\n" + Times(157 + more, "config 20\n");
  };
  EXPECT_EQ(FaultOf(program(0)).first, -1);  // 3 + 157 = 1280 / 16 + 2 * 640 / 16
  EXPECT_EQ(FaultOf(program(1)), At(FaultKind::kQueueEmpty, 3 + 2 + 157));
}

TEST(DispatchTest, RepeatNeedsSomethingThatRepeats) {
  for (const char* before : {"", "nop 1\n", "sync\n", "deskew\n", "notify\n",
                             "config 20\nrepeat 1, 1\n"}) {
    const std::string text = std::string("mem0:\n") + before + "repeat 1, 1\nmem1:\nnotify\n";
    EXPECT_EQ(FaultOf(text).first, static_cast<int>(FaultKind::kBadInstruction)) << before;
  }
}

TEST(DispatchTest, ARunIsChargedAtItsFirstDispatchOutOfRange) {
  EXPECT_EQ(FaultOf("mem0:\nread 8180, 1, e0\nrepeat 11, 3\n").first, -1);
  const DispatchResult r = Of("mem0:\nread 8180, 1, e0\nrepeat 20, 3\n");
  ASSERT_TRUE(r.fault);
  EXPECT_EQ(r.fault->cycle, 12 * 3);
  EXPECT_EQ(r.fault->instruction.arg[0], 8192);
}

TEST(DispatchTest, AnInstructionInAQueueThatDoesNotTakeItIsBad) {
  Program program;
  program.queues[MemQueue(0)].push_back({Opcode::kSend, false, {}});
  const DispatchResult r = Dispatch(program, ChipTiming::Default());
  ASSERT_TRUE(r.fault);
  EXPECT_EQ(r.fault->kind, FaultKind::kBadInstruction);
  EXPECT_TRUE(r.schedule.runs.empty());
}

}  // namespace
}  // namespace lockstep
