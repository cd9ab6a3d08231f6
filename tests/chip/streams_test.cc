// Streams as diagonals: who sees what, and buffers that are not used again too early.
#include "chip/streams.h"

#include <set>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

constexpr int kEast = 3, kWest = 40;
const uint8_t kA[1] = {}, kB[1] = {}, kC[1] = {};

const uint8_t* Seen(const Streams& streams, int stream, int position, int64_t cycle) {
  const Streams::Entry* e = streams.Find(stream, Streams::Place(stream, position), cycle);
  return e == nullptr ? nullptr : e->data;
}
bool Put(Streams& streams, int stream, int position, int64_t cycle, const uint8_t* data) {
  return streams.Enter(stream, Streams::Place(stream, position), cycle, {data, 1, 0, kNoSlice});
}

TEST(StreamsTest, AValueMovesOnePositionACycleInItsDirectionOnly) {
  Streams streams(20);
  ASSERT_TRUE(Put(streams, kEast, 10, 100, kA));
  ASSERT_TRUE(Put(streams, kWest, 10, 100, kB));
  EXPECT_EQ(Seen(streams, kEast, 10, 100), kA);
  EXPECT_EQ(Seen(streams, kEast, 26, 116), kA);
  EXPECT_EQ(Seen(streams, kEast, 9, 99), nullptr);
  EXPECT_EQ(Seen(streams, kEast, 11, 102), nullptr);
  EXPECT_EQ(Seen(streams, kWest, 0, 110), kB);
  EXPECT_EQ(Seen(streams, kWest, 11, 101), nullptr);
}

TEST(StreamsTest, TheNearestWriteUpstreamIsSeenWhateverTheOrderOfWriting) {
  Streams streams(20);
  ASSERT_TRUE(Put(streams, kEast, 20, 120, kC));
  ASSERT_TRUE(Put(streams, kEast, 2, 102, kA));
  ASSERT_TRUE(Put(streams, kEast, 13, 113, kB));
  EXPECT_EQ(Seen(streams, kEast, 1, 101), nullptr);
  EXPECT_EQ(Seen(streams, kEast, 12, 112), kA);
  EXPECT_EQ(Seen(streams, kEast, 13, 113), kB);
  EXPECT_EQ(Seen(streams, kEast, 19, 119), kB);
  EXPECT_EQ(Seen(streams, kEast, 26, 126), kC);
}

TEST(StreamsTest, TwoValuesCannotStandAtOnePlaceInOneCycle) {
  Streams streams(20);
  ASSERT_TRUE(Put(streams, kEast, 5, 50, kA));
  EXPECT_FALSE(Put(streams, kEast, 5, 50, kB));
  EXPECT_TRUE(Put(streams, kEast, 6, 51, kB));
  EXPECT_FALSE(Put(streams, kEast, 6, 51, kC));
  EXPECT_TRUE(Put(streams, kEast, 5, 51, kC));
  EXPECT_TRUE(Put(streams, kEast + 1, 5, 50, kC));
}

TEST(StreamsTest, EveryPositionOfADiagonalCanBeWritten) {
  Streams streams(1);
  for (int p = 0; p < kPositions; ++p) ASSERT_TRUE(Put(streams, kWest, p, 200 - p, p % 2 ? kA : kB));
  for (int p = 0; p < kPositions; ++p) EXPECT_EQ(Seen(streams, kWest, p, 200 - p), p % 2 ? kA : kB);
}

TEST(StreamsTest, OldDiagonalsDoNotReappear) {
  Streams streams(1);
  ASSERT_TRUE(Put(streams, kEast, 0, 10, kA));
  for (int64_t later = 11; later < 1000; ++later) {
    ASSERT_EQ(Seen(streams, kEast, 0, later), nullptr) << later;
  }
}

TEST(BufferRingTest, ABufferIsNotUsedAgainWithinItsLifetime) {
  BufferRing ring(64, 10);
  std::set<uint8_t*> young;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(young.insert(ring.Take(5 + i / 10)).second);
  // From cycle 15 on those of cycle 5 are free, and no more are made than needed.
  for (int cycle = 15; cycle < 1000; ++cycle) {
    for (int i = 0; i < 10; ++i) young.insert(ring.Take(cycle));
  }
  EXPECT_LE(young.size(), 160u);
}

}  // namespace
}  // namespace lockstep
