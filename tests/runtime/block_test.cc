// The reservation table: blocks go where everything they hold is free, and the program says so.
#include "runtime/kernels/block.h"

#include <algorithm>

#include "chip/instructions.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

class PlacerTest : public ::testing::Test {
 protected:
  static constexpr int kMem = MemQueue(5);
  const ChipTiming timing = ChipTiming::Default();
  Placer placer{timing};

  int64_t Place(int queue, const Instruction& instr, int64_t first, int count = 1, int period = 1) {
    Block b("test");
    b.At(queue, instr, first, count, period);
    return placer.Place(b);
  }
  // All dispatches of a queue: cycle and first argument.
  std::vector<std::pair<int64_t, int>> Dispatches(int queue) {
    const DispatchResult result = Dispatch(placer.Finish(), timing);
    EXPECT_FALSE(result.fault) << result.fault->ToString();
    std::vector<std::pair<int64_t, int>> out;
    for (const lockstep::Run& run : result.schedule.runs) {
      if (run.queue != queue) continue;
      for (int64_t i = 0; i < run.count; ++i) {
        out.emplace_back(run.cycle(i), InstructionAt(run, i).arg[0]);
      }
    }
    std::sort(out.begin(), out.end());
    return out;
  }
};

TEST_F(PlacerTest, StartsAtTheFirstCycleThatKeepsAllTimesPositive) {
  EXPECT_EQ(Place(kMem, ops::Read(1, 0, ops::East(0)), -7), 7);
  EXPECT_EQ(Dispatches(kMem).front().first, 0);
}

TEST_F(PlacerTest, AQueueIsHeldFromFirstToLastDispatch) {
  EXPECT_EQ(Place(kMem, ops::Read(1, 1, ops::East(0)), 0, 10, 3), 0);  // cycles 0..27
  EXPECT_EQ(Place(kMem, ops::Read(50, 0, ops::East(8)), 0), 28);
}

TEST_F(PlacerTest, AShadowIsHeldAndNotDispatched) {
  Block shadow("shadow");
  shadow.At(kMem, ops::Write(1, 1, ops::East(0)), 0, 10, 3, true);  // cycles 0..27, words 1..10
  EXPECT_EQ(placer.Place(shadow), 0);
  EXPECT_EQ(Place(kMem, ops::Read(50, 0, ops::East(8)), 0), 28);
  EXPECT_EQ(Dispatches(kMem).size(), 1u);
  EXPECT_EQ(placer.spans().front().last, 27);
}

TEST_F(PlacerTest, AStreamIsHeldByDiagonalNotByCycle) {
  // The value put out by slice 16 (position 8) is at position 9 a cycle later.
  const int stream = ops::East(0), far = MemQueue(SliceNumber(Hemisphere::kWest, 16));
  const int near = MemQueue(SliceNumber(Hemisphere::kWest, 12));
  EXPECT_EQ(SlicePosition(12) - SlicePosition(16), 1);
  EXPECT_EQ(Place(far, ops::Read(1, 0, stream), 0), 0);
  // One position further on, the same diagonal is one cycle later.
  EXPECT_EQ(Place(near, ops::Read(1, 0, stream), 0), 0);
  EXPECT_EQ(Place(near + 1, ops::Read(1, 0, stream), 0), 2);
}

TEST_F(PlacerTest, GapsAreFilled) {
  EXPECT_EQ(Place(kMem, ops::Read(1, 0, ops::East(0)), 10), 0);
  EXPECT_EQ(Place(kMem, ops::Read(2, 1, ops::East(8)), 0, 11), 11);
  EXPECT_EQ(Place(kMem, ops::Read(40, 1, ops::East(8)), 0, 10), 0);
  EXPECT_EQ(Place(kMem, ops::Read(60, 0, ops::East(8)), 0), 22);
}

TEST_F(PlacerTest, WordsOfSramKeepTheOrderOfPlacement) {
  const auto read = [&](int address) {
    return Place(kMem, ops::Read(address, 0, ops::East(0)), 0);
  };
  const auto write = [&](int address) {
    return Place(kMem, ops::Write(address, 0, ops::East(1)), 0);
  };
  EXPECT_EQ(Place(kMem, ops::Write(5, 0, ops::East(1)), 100), 0);
  EXPECT_EQ(read(6), 0);
  EXPECT_EQ(read(5), 101);   // what was written
  EXPECT_EQ(write(6), 1);    // over what was read
  EXPECT_EQ(write(5), 102);  // over what was read after the write
  EXPECT_EQ(write(7), 2);
}

TEST_F(PlacerTest, AMapReachesTheWordsBehindItsAddressAndNoMoreThanTheBlockSays) {
  Block scatter("scatter");
  scatter.At(kMem, ops::Scatter(10, 0, ops::East(0), ops::East(1)), 50);
  scatter.Reach(5);
  EXPECT_EQ(placer.Place(scatter), 0);
  EXPECT_EQ(Place(kMem, ops::Read(9, 0, ops::East(2)), 0), 0);
  EXPECT_EQ(Place(kMem, ops::Read(15, 0, ops::East(2)), 0), 1);
  EXPECT_EQ(Place(kMem, ops::Read(14, 0, ops::East(2)), 0), 51);
}

TEST_F(PlacerTest, RunsThatContinueEachOtherAreOne) {
  for (int i = 0; i < 50; ++i) Place(kMem, ops::Read(7 + i, 1, ops::East(0)), 0);
  for (int i = 0; i < 3; ++i) Place(MemQueue(6), ops::Read(7, 0, ops::East(4)), 10 * i);
  const Program program = placer.Finish();
  EXPECT_EQ(program.queues[kMem].size(), 2u);
  EXPECT_EQ(program.queues[MemQueue(6)].size(), 2u);
  EXPECT_EQ(Dispatches(kMem)[49], (std::pair<int64_t, int>{49, 56}));
}

TEST_F(PlacerTest, FindSaysWherePlaceWouldPut) {
  Block b("b");
  b.At(kMem, ops::Read(1, 1, ops::East(0)), 0, 10);
  EXPECT_EQ(placer.Find(b), 0);
  EXPECT_EQ(placer.Place(b), 0);
  EXPECT_EQ(placer.Find(b, 3), 10);
}

TEST_F(PlacerTest, AVectorOfTheActivationBufferIsHeldAloneOrWithAllOthers) {
  const auto hold = [&](int queue, int index) {
    Block b("hold");
    b.At(MemQueue(queue), ops::Read(1, 0, ops::East(queue)), 0);
    b.HoldFor(index, 0, 9);
    return placer.Place(b);
  };
  EXPECT_EQ(hold(0, ActivationHold(Hemisphere::kEast, 3)), 0);
  EXPECT_EQ(hold(1, ActivationHold(Hemisphere::kEast, 4)), 0);
  EXPECT_EQ(hold(2, HoldIndex(Hold::kActivations, Hemisphere::kEast)), 10);
  EXPECT_EQ(hold(3, ActivationHold(Hemisphere::kEast, 63)), 20);
  EXPECT_EQ(hold(4, ActivationHold(Hemisphere::kWest, 3)), 0);
}

TEST_F(PlacerTest, StreamsOfOtherPartsOfTheChipDoNotDisturb) {
  const int stream = ops::East(0);
  EXPECT_EQ(Place(MemQueue(0), ops::Read(1, 0, stream), 0, 100), 0);
  EXPECT_EQ(Place(MemQueue(kSlicesPerHemisphere), ops::Read(1, 0, stream), 0, 100), 0);
  EXPECT_EQ(Place(MemQueue(1), ops::Read(1, 0, ops::East(1)), 0, 100), 0);
}

TEST_F(PlacerTest, HeldResourcesAreWaitedFor) {
  const int hold = HoldIndex(Hold::kArray, Hemisphere::kEast);
  Block a("a"), b("b"), c("c");
  a.At(kMem, ops::Read(1, 0, ops::East(0)), 0);
  a.HoldFor(hold, 10, 19);
  b.At(MemQueue(9), ops::Read(1, 0, ops::East(9)), 0);
  b.HoldFor(hold, 5, 6);
  c.At(MemQueue(13), ops::Read(1, 0, ops::East(13)), 0);
  c.HoldFor(HoldIndex(Hold::kArray, Hemisphere::kWest), 5, 6);
  EXPECT_EQ(placer.Place(a), 0);
  EXPECT_EQ(placer.Place(b), 15);
  EXPECT_EQ(placer.Place(c), 0);
}

TEST_F(PlacerTest, AReceiveHoldsTheSliceThatItWrites) {
  Block b("receive");
  b.At(C2cQueue(0), ops::Receive(5, 1, 0), 40);
  EXPECT_EQ(placer.Place(b), 0);
  const int64_t write = 40 + timing.d_func[static_cast<int>(Opcode::kReceive)];
  EXPECT_EQ(Place(kMem, ops::Read(1, 0, ops::East(0)), 0), write + 1);
}

constexpr int kOtherBank = kWordsPerBank;  // its first word

TEST_F(PlacerTest, ASliceReadsAndWritesInOneCycleInDifferentBanks) {
  EXPECT_EQ(Place(kMem, ops::Read(1, 1, ops::East(0)), 0, 10), 0);
  EXPECT_EQ(Place(kMem, ops::Write(kOtherBank, 0, ops::East(1)), 3), 0);
  EXPECT_EQ(Place(kMem, ops::Write(kOtherBank, 0, ops::East(2)), 3), 1);  // the port
  EXPECT_EQ(Place(kMem, ops::Write(100, 0, ops::East(3)), 3), 7);         // the bank
  EXPECT_EQ(Dispatches(kMem).size(), 13u);
}

TEST_F(PlacerTest, ARunOverBothBanksAndAMapHoldBoth) {
  EXPECT_EQ(Place(kMem, ops::Read(kOtherBank - 5, 1, ops::East(0)), 0, 10), 0);
  EXPECT_EQ(Place(kMem, ops::Write(kOtherBank + 50, 0, ops::East(1)), 0), 10);
  EXPECT_EQ(Place(kMem, ops::Gather(1, 0, ops::East(4), ops::East(5)), 10), 1);
  EXPECT_EQ(Place(kMem, ops::Write(kOtherBank + 50, 0, ops::East(1)), 0), 12);
}

TEST_F(PlacerTest, WeightsOfAnotherBankStreamWhileAVectorArrives) {
  Block b("receive");
  b.At(C2cQueue(0), ops::Receive(5, 1, 0), 40);
  EXPECT_EQ(placer.Place(b), 0);
  EXPECT_EQ(Place(kMem, ops::Read(kOtherBank, 1, ops::East(0)), 0, 4000), 0);
}

TEST_F(PlacerTest, AStreamIsFreeInTheColumnsThatItDoesNotReach) {
  const auto slice = [](int column) { return MemQueue(SliceNumber(Hemisphere::kWest, 4 * column)); };
  const int stream = StreamNumber(Direction::kWest, 0);
  EXPECT_EQ(Place(slice(0), ops::Write(1, 0, stream), 100, 100), 0);
  EXPECT_EQ(Place(slice(1), ops::Read(1, 0, stream), 100, 100), 0);
  EXPECT_GT(Place(slice(0) + 1, ops::Read(1, 0, stream), 100, 100), 0);
}

TEST_F(PlacerTest, AnotherPlacerAnswersAsTheFirst) {
  Block a("a"), b("b");
  a.At(kMem, ops::Read(1, 0, ops::East(0)), 0, 10);
  b.At(kMem, ops::Read(2, 0, ops::East(0)), 0, 10);
  EXPECT_EQ(placer.Place(a), 0);
  EXPECT_EQ(placer.Agree(7), 7);
  EXPECT_EQ(placer.Find(a), 10);
  EXPECT_EQ(placer.Place(a, 50), 50);
  Placer other(timing, &placer.placements());
  EXPECT_EQ(other.Place(b), 0);
  EXPECT_EQ(other.Agree(9), 7);
  EXPECT_EQ(other.Find(b), 10);
  EXPECT_EQ(other.Place(b), 50);
  EXPECT_EQ(other.Finish().queues[kMem][0], ops::Read(2, 0, ops::East(0)));
}

TEST_F(PlacerTest, EarliestIsKept) {
  Block b("late");
  b.At(kMem, ops::Read(1, 0, ops::East(0)), 3);
  EXPECT_EQ(placer.Place(b, 1000), 1000);
  EXPECT_EQ(Dispatches(kMem).front().first, 1003);
}

TEST_F(PlacerTest, LongGapsAndLongRunsBecomeNopsAndRepeats) {
  Place(kMem, ops::Read(7, 0, ops::East(0)), 200'000, 70'000, 2);
  const auto got = Dispatches(kMem);
  ASSERT_EQ(got.size(), 70'000u);
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i].first, 200'000 + 2 * int64_t(i)) << i;
}

TEST_F(PlacerTest, StridesGoOnWhereARunIsCut) {
  Block b("strided");
  b.At(kMem, ops::Read(3, 1, ops::East(0)), 0, 5000, 14);
  placer.Place(b);
  const auto got = Dispatches(kMem);
  ASSERT_EQ(got.size(), 5000u);
  EXPECT_EQ(got[4999], (std::pair<int64_t, int>{4999 * 14, 3 + 4999}));
}

}  // namespace
}  // namespace lockstep
