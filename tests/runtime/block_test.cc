// The reservation table: blocks go where everything they hold is free, and the program says so.
#include "runtime/block.h"

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

TEST_F(PlacerTest, AStreamIsHeldByDiagonalNotByCycle) {
  // The value put out by slice 5 (rank 1, position 11) is past position 14 three cycles later.
  const int stream = ops::East(0), far = MemQueue(SliceNumber(Hemisphere::kWest, 5));
  const int near = MemQueue(SliceNumber(Hemisphere::kWest, 0));
  EXPECT_EQ(SlicePosition(0) - SlicePosition(5), 1);
  EXPECT_EQ(Place(far, ops::Read(1, 0, stream), 0), 0);
  // One position further on, the same diagonal is one cycle later: the next free one is two later.
  EXPECT_EQ(Place(near, ops::Read(1, 0, stream), 0), 2);
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
