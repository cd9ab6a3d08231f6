// Counters that jitter and drift: the protocols hold where they should and fail where they must.
#include "fabric/clock.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lockstep {
namespace {

TEST(ClockTest, AStartTakesOneEpochMoreThanTheLatencyHoldsWhole) {
  EXPECT_EQ(StartEpochs(0), 1);
  EXPECT_EQ(StartEpochs(kHacPeriod - 1), 1);
  EXPECT_EQ(StartEpochs(kHacPeriod), 2);
  EXPECT_EQ(StartEpochs(2 * kHacPeriod - 1), 2);
  EXPECT_EQ(StartEpochs(2 * kHacPeriod), 3);
}

TEST(ClockTest, NormalNumbersHaveMeanZeroAndDeviationOne) {
  SeededBits bits(7);
  double sum = 0, squares = 0;
  constexpr int kSamples = 100'000;
  for (int i = 0; i < kSamples; ++i) {
    const double x = static_cast<double>(bits.NormalQ16()) / 65536;
    sum += x, squares += x * x;
  }
  EXPECT_NEAR(sum / kSamples, 0, 0.02);
  EXPECT_NEAR(squares / kSamples, 1, 0.02);
}

TEST(ClockTest, ALatencyOfOnePeriodMoreCannotBeSeen) {
  const JitterModel jitter;
  const Characterised near = Characterise(jitter, 0, 1000, 3);
  const Characterised far = Characterise(jitter, 1, 1000, 3);
  EXPECT_EQ(near.mean_milli, far.mean_milli);
  EXPECT_EQ(near.most, far.most);
  EXPECT_GE(near.least, jitter.least);
  EXPECT_LE(near.most, jitter.most);
}

TEST(ClockTest, OneSeedGivesOneResultAndAnotherAnother) {
  const JitterModel jitter;
  EXPECT_EQ(Characterise(jitter, 0, 1000, 3).mean_milli,
            Characterise(jitter, 0, 1000, 3).mean_milli);
  EXPECT_NE(Characterise(jitter, 0, 1000, 3).mean_milli,
            Characterise(jitter, 0, 1000, 4).mean_milli);
}

AlignmentSetup Pair(int parent_ppm, int child_ppm) {
  AlignmentSetup setup;
  setup.drift_ppm = {parent_ppm, child_ppm};
  return setup;
}

TEST(ClockTest, ChildrenSettleWithinAPeriodOfEpochs) {
  const Alignment a = Align(JitterModel(), Pair(50, -50));
  EXPECT_GT(a.settled_after_epochs, 0);
  EXPECT_LE(a.settled_after_epochs, kHacPeriod);
  EXPECT_LE(a.worst_cycles, 11);
}

// 252 cycles x 5000 ppm = 1.26 cycles an epoch: more than the one step there is.
TEST(ClockTest, ADriftFasterThanTheStepIsNeverCaught) {
  EXPECT_GT(Align(JitterModel(), Pair(0, 5000)).worst_cycles, 50);
  AlignmentSetup faster = Pair(0, 5000);
  faster.max_step_cycles = 3;
  EXPECT_LE(Align(JitterModel(), faster).worst_cycles, 30);
}

}  // namespace
}  // namespace lockstep
