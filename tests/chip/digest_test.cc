// The timing digest depends on every number of a run and on the order, and on nothing else.
#include "chip/digest.h"

#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

Run Sample() {
  Run run{};
  run.instr.op = Opcode::kAdd;
  run.queue = 12, run.index = 7;
  run.first = 100, run.count = 4, run.period = 10;
  return run;
}

uint64_t HashOf(std::vector<Run> runs) {
  Schedule schedule;
  schedule.runs = std::move(runs);
  return ScheduleHash(schedule);
}

TEST(DigestTest, OfNothingIsTheHashOfNoBytes) {
  // The published XXH64 of the empty input with seed 0.
  EXPECT_EQ(TimingDigest().value(), 0xef46db3751d8e999u);
  EXPECT_EQ(HashOf({}), 0xef46db3751d8e999u);
}

TEST(DigestTest, EveryNumberOfARunCountsExceptItsIndex) {
  std::set<uint64_t> seen = {HashOf({Sample()})};
  lockstep::Run r = Sample();
  ++r.index;
  EXPECT_EQ(HashOf({r}), *seen.begin());
  r = Sample(), ++r.queue, seen.insert(HashOf({r}));
  r = Sample(), r.instr.op = Opcode::kSub, seen.insert(HashOf({r}));
  r = Sample(), ++r.first, seen.insert(HashOf({r}));
  r = Sample(), ++r.period, seen.insert(HashOf({r}));
  // As long as before, but in more steps.
  r = Sample(), r.count = 7, r.period = 5, seen.insert(HashOf({r}));
  EXPECT_EQ(seen.size(), 6u);
}

TEST(DigestTest, OrderOfRunsCounts) {
  lockstep::Run other = Sample();
  other.queue = 3;
  EXPECT_NE(HashOf({Sample(), other}), HashOf({other, Sample()}));
}

TEST(DigestTest, ScheduleAgesAndOrderOfExecutionsCountAndReadingDoesNot) {
  const std::vector<int64_t> ages = {1, -3}, swapped = {-3, 1};
  std::set<uint64_t> seen;
  TimingDigest a, b, c, d;
  a.Add(5, ages), seen.insert(a.value());
  b.Add(6, ages), seen.insert(b.value());
  c.Add(5, swapped), seen.insert(c.value());
  a.Add(6, ages), seen.insert(a.value());
  b.Add(5, ages), seen.insert(b.value());
  EXPECT_EQ(seen.size(), 5u);
  d.Add(5, ages), d.Add(6, ages);
  EXPECT_EQ(d.value(), a.value());
}

}  // namespace
}  // namespace lockstep
