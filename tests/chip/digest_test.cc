// The timing digest depends on every number of a run and on the order, and on nothing else.
#include "chip/digest.h"

#include <set>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

RunRetired Sample() { return {7, 12, Opcode::kAdd, 100, 130, 4, -3}; }

uint64_t DigestOf(std::initializer_list<RunRetired> runs) {
  TimingDigest digest;
  for (const RunRetired& run : runs) digest.Add(run);
  return digest.value();
}

TEST(DigestTest, OfNothingIsTheHashOfNoBytes) {
  // The published XXH64 of the empty input with seed 0.
  EXPECT_EQ(TimingDigest().value(), 0xef46db3751d8e999u);
}

TEST(DigestTest, EveryNumberCountsExceptTheIndexOfTheRun) {
  std::set<uint64_t> seen = {DigestOf({Sample()})};
  RunRetired r = Sample();
  ++r.run;
  EXPECT_EQ(DigestOf({r}), *seen.begin());
  r = Sample(), ++r.queue, seen.insert(DigestOf({r}));
  r = Sample(), r.op = Opcode::kSub, seen.insert(DigestOf({r}));
  r = Sample(), ++r.first, seen.insert(DigestOf({r}));
  r = Sample(), ++r.last, seen.insert(DigestOf({r}));
  r = Sample(), ++r.count, seen.insert(DigestOf({r}));
  r = Sample(), ++r.operand_age, seen.insert(DigestOf({r}));
  EXPECT_EQ(seen.size(), 7u);
}

TEST(DigestTest, OrderCountsAndReadingItDoesNot) {
  RunRetired other = Sample();
  other.queue = 3;
  EXPECT_NE(DigestOf({Sample(), other}), DigestOf({other, Sample()}));
  TimingDigest digest;
  digest.Add(Sample());
  digest.value();
  digest.Add(other);
  EXPECT_EQ(digest.value(), DigestOf({Sample(), other}));
}

}  // namespace
}  // namespace lockstep
