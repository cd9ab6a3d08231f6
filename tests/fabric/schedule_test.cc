// Every rule of a transfer schedule: legal at t, refused one cycle beside it. Two chips, one cable
// from link 0 of chip 0 to link 1 of chip 1, and a second one between their links 2.
#include "fabric/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "chip/geometry.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr int kFlight = 217, kTicks = 2952, kFifo = 2;
constexpr int kArrival = 24 + kFlight;  // of a vector sent in cycle 0: ceil(2952 / 125) = 24

Wiring TwoChips() {
  return *Wiring::Create(2, {{0, 0, 1, 1, kFlight}, {1, 1, 0, 0, kFlight},
                             {0, 2, 2, 1, kFlight}, {1, 2, 2, 0, kFlight}}, kTicks);
}

LinkOperation Send(int link, int64_t first, int64_t count = 1, int64_t period = 24) {
  return {LinkOp::kSend, link, {first, period, count}};
}
LinkOperation Receive(int link, int64_t first, int64_t count = 1, int64_t period = 24,
                      int slice = 5, int address = 0, int stride = 1) {
  return {LinkOp::kReceive, link, {first, period, count}, slice, address, stride};
}

PlacedOperations Program(std::vector<LinkOperation> operations, int64_t sram = 0,
                         int64_t start = 0) {
  return {std::make_shared<const ChipOperations>(ChipOperations{std::move(operations), sram}),
          start};
}

absl::StatusOr<FabricSchedule> Check(std::vector<LinkOperation> chip0,
                                     std::vector<LinkOperation> chip1, int64_t sram = 0) {
  return FabricSchedule::Create(TwoChips(), kFifo, {{Program(std::move(chip0), sram)},
                                                    {Program(std::move(chip1))}});
}

void ExpectRefused(const absl::StatusOr<FabricSchedule>& s, const std::string& place,
                   const std::string& why) {
  ASSERT_FALSE(s.ok());
  EXPECT_THAT(s.status().message(), HasSubstr(place));
  EXPECT_THAT(s.status().message(), HasSubstr(why));
}

TEST(ScheduleTest, ReceiveIsLegalInTheCycleOfArrivalAndRefusedOneBefore) {
  EXPECT_TRUE(Check({Send(0, 0, 9)}, {Receive(1, kArrival, 9)}).ok());
  ExpectRefused(Check({Send(0, 0, 9)}, {Receive(1, kArrival - 1, 9)}),
                absl::StrCat("chip1 link 1 @", kArrival - 1), "before arrival");
}

TEST(ScheduleTest, FasterReceivesAreRefusedWhereTheyOvertakeTheArrivals) {
  // Receive i comes 25 - 24 = 1 cycle a vector nearer: 3 cycles late at i = 0, 1 early at i = 4.
  EXPECT_TRUE(Check({Send(0, 0, 4, 25)}, {Receive(1, kArrival + 3, 4, 24)}).ok());
  ExpectRefused(Check({Send(0, 0, 9, 25)}, {Receive(1, kArrival + 3, 9, 24)}),
                absl::StrCat("chip1 link 1 @", kArrival + 3 + 4 * 24), "before arrival");
}

TEST(ScheduleTest, SlotIsFreeAfter23CyclesAndNotAfter22) {
  // The link is free at 23.616; the vector sent @23 leaves then and is there at 47.232 + flight.
  EXPECT_TRUE(Check({Send(0, 0), Send(0, 23)}, {Receive(1, kArrival), Receive(1, 48 + kFlight)}).ok());
  ExpectRefused(Check({Send(0, 0), Send(0, 22)}, {Receive(1, kArrival), Receive(1, 300)}),
                "chip0 link 0 @22", "link slot used twice");
}

TEST(ScheduleTest, AVectorThatWaitsForTheLinkArrivesLater) {
  ExpectRefused(Check({Send(0, 0), Send(0, 23)}, {Receive(1, kArrival), Receive(1, 47 + kFlight)}),
                "chip1 link 1 @264", "receive before arrival");
}

TEST(ScheduleTest, RunOfPeriod23IsRefusedAtItsThirdVector) {
  // Free at 23.616 and 47.232: @23 waits 0.616 cycles, @46 would wait more than one.
  ExpectRefused(Check({Send(0, 0, 3, 23)}, {Receive(1, 300, 3)}), "chip0 link 0 @46",
                "link slot used twice");
}

TEST(ScheduleTest, VectorsFollowWithoutAGapWhenEachIsSentInTheCycleInWhichTheLinkIsFree) {
  std::vector<LinkOperation> sends, receives;
  for (int64_t i = 0; i < 126; ++i) {
    sends.push_back(Send(0, i * kTicks / 125));
    receives.push_back(Receive(1, (i + 1) * kTicks / 125 + 1 + kFlight));
  }
  EXPECT_TRUE(Check(sends, receives).ok());
}

TEST(ScheduleTest, BusyTimeIsTheVectorsOwn) {
  const auto s = Check({Send(0, 0, 1000)}, {Receive(1, kArrival, 1000)});
  ASSERT_TRUE(s.ok()) << s.status();
  EXPECT_EQ(s->links()[0].vectors, 1000);
  EXPECT_EQ(s->links()[0].busy_ticks, 1000 * kTicks);
  // One of four links: 1000 * 2952 of 4 * 24000 * 125 ticks.
  EXPECT_EQ(s->UtilisationPpm(24000), 246000);
}

TEST(ScheduleTest, TransmitTakesASlotAndNeedsNoReceive) {
  const LinkOperation notice{LinkOp::kTransmit, 0, {0, 1, 1}};
  EXPECT_TRUE(Check({notice, Send(0, 24)}, {Receive(1, 24 + kArrival)}).ok());
  ExpectRefused(Check({notice, Send(0, 22)}, {Receive(1, 300)}), "chip0 link 0 @22", "slot");
}

TEST(ScheduleTest, SendWithoutReceiveAndReceiveWithoutSendAreRefused) {
  ExpectRefused(Check({Send(0, 0, 3)}, {Receive(1, kArrival, 2)}),
                absl::StrCat("chip1 link 1 @", kArrival + 48), "no receive");
  ExpectRefused(Check({Send(0, 0, 2)}, {Receive(1, kArrival, 3)}),
                absl::StrCat("chip1 link 1 @", kArrival + 48), "receive without a vector");
}

TEST(ScheduleTest, LinkWithNoCableIsRefused) {
  ExpectRefused(Check({Send(3, 7)}, {}), "chip0 link 3 @7", "no cable");
  ExpectRefused(Check({}, {Receive(0, 8)}), "chip1 link 0 @8", "no cable");
}

TEST(ScheduleTest, FifoOfTwoHoldsTwoUntilTheThirdArrives) {
  // The third arrives at kArrival + 48: the first may leave in that very cycle, not one later.
  const auto receive_from = [](int64_t t) {
    return std::vector<LinkOperation>{Receive(1, t, 3)};
  };
  EXPECT_TRUE(Check({Send(0, 0, 3)}, receive_from(kArrival + 48)).ok());
  ExpectRefused(Check({Send(0, 0, 3)}, receive_from(kArrival + 49)),
                absl::StrCat("chip1 link 1 @", kArrival + 48), "FIFO overflow");
}

TEST(ScheduleTest, FifoIsFollowedAcrossRuns) {
  const std::vector<LinkOperation> sends = {Send(0, 0), Send(0, 24), Send(0, 48)};
  const auto at = [](int64_t t) {
    return std::vector<LinkOperation>{Receive(1, t), Receive(1, t + 1), Receive(1, t + 2)};
  };
  EXPECT_TRUE(Check(sends, at(kArrival + 48)).ok());
  ExpectRefused(Check(sends, at(kArrival + 49)), absl::StrCat("@", kArrival + 48), "FIFO");
}

TEST(ScheduleTest, ReceiveMayFillTheLastWordOfASliceAndNotOneBeyond) {
  const auto at = [](int address) {
    return std::vector<LinkOperation>{Receive(1, kArrival, 2, 24, 5, address)};
  };
  EXPECT_TRUE(Check({Send(0, 0, 2)}, at(kWordsPerSlice - 2)).ok());
  ExpectRefused(Check({Send(0, 0, 2)}, at(kWordsPerSlice - 1)), "chip1 link 1",
                "outside the slice");
}

TEST(ScheduleTest, TwoReceivesOfOneSliceMayNotShareACycle) {
  const auto both = [](int64_t second) {
    return Check({Send(0, 0, 5), Send(2, 0, 5)},
                 {Receive(1, kArrival + 1, 5), Receive(2, second, 5)});
  };
  EXPECT_TRUE(both(kArrival).ok());
  ExpectRefused(both(kArrival + 1), absl::StrCat("@", kArrival + 1), "two receives enter slice 5");
  EXPECT_TRUE(both(kArrival + 2).ok());
}

TEST(ScheduleTest, SramCanBeAllocatedToTheLastByteAndNotOneBeyond) {
  EXPECT_TRUE(Check({}, {}, kSramBytes).ok());
  ExpectRefused(Check({}, {}, kSramBytes + 1), "chip0", "230686721");
}

TEST(ScheduleTest, RunsAreMatchedInOrderWhereverTheyAreCut) {
  const auto s = Check({Send(0, 0, 5)}, {Receive(1, kArrival, 2, 24, 5, 0, 3),
                                         Receive(1, kArrival + 48, 3, 24, 6, 9, 1)});
  ASSERT_TRUE(s.ok()) << s.status();
  ASSERT_EQ(s->transfers().size(), 2u);
  EXPECT_EQ(s->transfers()[1], (Transfer{0, {48, 24, 3}, {kArrival + 48, 24, 3}, 6, 9, 1}));
  EXPECT_EQ(s->last_arrival(), kArrival + 4 * 24);
  EXPECT_EQ(s->ToString(), absl::StrCat("5 vectors over 1 links, last arrival @", kArrival + 96));
}

// One program of each chip twice: what it does is the same, later.
absl::StatusOr<FabricSchedule> Twice(int64_t send_start, int64_t receive_start) {
  const PlacedOperations send = Program({Send(0, 0, 3)});
  const PlacedOperations receive = Program({Receive(1, 5, 3)});
  return FabricSchedule::Create(
      TwoChips(), kFifo,
      {{{send.operations, 0}, {send.operations, send_start}},
       {{receive.operations, kArrival - 5}, {receive.operations, receive_start}}});
}

TEST(ScheduleTest, AProgramStartsWhereItIsPlaced) {
  const auto s = Twice(1000, kArrival + 995);
  ASSERT_TRUE(s.ok()) << s.status();
  EXPECT_EQ(s->vectors(), 6);
  EXPECT_EQ(s->transfers()[1].sent, (Progression{1000, 24, 3}));
  EXPECT_EQ(s->transfers()[1].received, (Progression{1000 + kArrival, 24, 3}));
  ExpectRefused(Twice(1000, kArrival + 994), absl::StrCat("chip1 link 1 @", kArrival + 999),
                "before arrival");
}

TEST(ScheduleTest, ProgramsOfAChipThatMeetAreRefused) {
  EXPECT_TRUE(Twice(72, kArrival + 67).ok());
  ExpectRefused(Twice(48, kArrival + 67), "chip0 link 0 @48", "sends of one link begin before");
  // On different links, too.
  const auto s = FabricSchedule::Create(
      TwoChips(), kFifo,
      {{Program({Send(0, 0, 3)}), Program({Send(2, 0)}, 0, 40)}, {Program({Receive(1, kArrival, 3)})}});
  ExpectRefused(s, "chip0 link 2 @40", "the program before has link operations until cycle 48");
}

}  // namespace
}  // namespace lockstep
