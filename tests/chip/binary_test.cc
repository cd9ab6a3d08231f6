// The binary form round-trips and nothing but it decodes.
#include "chip/binary.h"

#include "tests/chip/random_program.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

TEST(BinaryTest, EveryOpcodeFitsItsSixteenBytes) {
  for (int op = 0; op < kOpcodes; ++op) {
    EXPECT_LE(EncodedBits(static_cast<Opcode>(op)), 8 * kInstructionBytes) << op;
  }
}

TEST(BinaryTest, EveryRandomProgramRoundTrips) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Program program = RandomProgram(seed, 10);
    const auto again = DecodeProgram(EncodeProgram(program));
    ASSERT_TRUE(again.ok()) << "seed " << seed << ": " << again.status();
    EXPECT_EQ(*again, program) << "seed " << seed;
  }
}

TEST(BinaryTest, EveryTruncatedPrefixAndEveryTailIsRefused) {
  const std::string bytes = EncodeProgram(RandomProgram(7, 1));
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeProgram(absl::string_view(bytes).substr(0, n)).ok()) << n;
  }
  EXPECT_FALSE(DecodeProgram(bytes + '\0').ok());
}

TEST(BinaryTest, WhatDecodesAfterAFlippedBitEncodesToTheSameBytes) {
  const std::string bytes = EncodeProgram(RandomProgram(8, 1));
  int decoded = 0;
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto program = DecodeProgram(flipped);
    if (!program.ok()) continue;
    ++decoded;
    ASSERT_EQ(EncodeProgram(*program), flipped) << "bit " << bit;
  }
  EXPECT_GT(decoded, 0);
}

TEST(BinaryTest, HugeQueueLengthsAllocateNothing) {
  std::string bytes = EncodeProgram(Program());
  for (size_t i = 16; i < bytes.size(); ++i) bytes[i] = '\xff';
  EXPECT_FALSE(DecodeProgram(bytes).ok());
}

}  // namespace
}  // namespace lockstep
