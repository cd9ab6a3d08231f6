// How bytes are cut into channels, loops, chunks and units.
#include "fabric/nccl/chunks.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "tests/fabric/nccl_machines.h"

namespace lockstep::nccl {
namespace {

int64_t Sum(const std::vector<std::vector<Loop>>& channels) {
  int64_t sum = 0;
  for (const auto& loops : channels) {
    for (const Loop& loop : loops) sum = std::accumulate(loop.begin(), loop.end(), sum);
  }
  return sum;
}

TEST(NcclChunksTest, NoByteIsLostOrSentTwice) {
  std::mt19937 random(7);
  for (int i = 0; i < 500; ++i) {
    Cut cut;
    cut.bytes = 4 * (1 + random() % (int64_t{1} << (random() % 28 + 1)));
    cut.channels = 1 + static_cast<int>(random() % 32);
    cut.pieces = 1 + static_cast<int>(random() % 8);
    cut.chunk = 16 + random() % (2 << 20);
    cut.grain = 16 << (random() % 9);
    if (random() % 2 == 0) cut.cell = 16 << (random() % 12);
    EXPECT_EQ(Sum(CutBytes(cut)), cut.bytes) << i;
  }
}

TEST(NcclChunksTest, ALoopOfSimpleIs384Mebibytes) {
  Cut cut;
  cut.channels = 24, cut.pieces = 8, cut.chunk = LargestChunk(Protocol::kSimple, 4);
  cut.grain = 4096;
  cut.bytes = int64_t{384} << 20;
  EXPECT_EQ(CutBytes(cut)[0].size(), 1u);
  cut.bytes += 4;
  EXPECT_EQ(CutBytes(cut)[0].size(), 2u);
}

TEST(NcclChunksTest, FromVersion222ChannelsGetWholeCells) {
  Cut cut;
  cut.bytes = 5 * 4096, cut.channels = 4, cut.pieces = 1, cut.chunk = 1 << 20, cut.grain = 16;
  cut.cell = 4096;
  const auto channels = CutBytes(cut);
  EXPECT_EQ(channels[0][0][0], 2 * 4096);
  EXPECT_EQ(channels[3][0][0], 4096);
}

// 512 threads x 8 B: the same 4 KiB a step whether 1 channel has 32 KiB or 16 channels 512 KiB.
TEST(NcclChunksTest, LlOf4KibibytesIsOnePassOfAllThreads) {
  const Machine m = Ampere();
  const Cutter cutter(m, {}, Protocol::kLl, 512, 2, 2);
  EXPECT_EQ(cutter.Units(4096, 1).size(), 1u);
  EXPECT_EQ(cutter.Units(4097, 1).size(), 2u);
  EXPECT_EQ(cutter.Units(4096, 1)[0].port_bytes, 8192);  // as many flags as data
  EXPECT_EQ(cutter.Units(0, 1)[0].port_bytes, 0);
}

TEST(NcclChunksTest, Ll128Carries15Of16Bytes) {
  const Machine m = Ampere();
  const Cutter cutter(m, {}, Protocol::kLl128, 640, 2, 2);
  const auto units = cutter.Units(38'400, 1);
  ASSERT_EQ(units.size(), 1u);
  EXPECT_EQ(units[0].port_bytes, 40'960);
  EXPECT_EQ(cutter.Grain(), 19'200);  // half a pass
}

TEST(NcclChunksTest, SimpleHandsAChunkOnInTwoSlicesThatHaveLeastSizes) {
  const Machine m = Ampere();
  const Cutter cutter(m, {}, Protocol::kSimple, 512, 2, 2);
  const auto large = cutter.Units(2 << 20, 1), small = cutter.Units(1000, 1);
  EXPECT_EQ(large[0].port_bytes, 1 << 20);
  EXPECT_EQ(large[1].port_bytes, 1 << 20);
  EXPECT_EQ(small[0].port_bytes, 1000);  // less than 1/32 of two slots
  EXPECT_EQ(small[1].port_bytes, 0);
  EXPECT_EQ(cutter.Slots(2 << 20), 4);
}

}  // namespace
}  // namespace lockstep::nccl
