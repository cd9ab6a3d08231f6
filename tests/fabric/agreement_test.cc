// Faults in bytes, and the ring of bytes between processes, both within one process.
#include "fabric/agreement.h"

#include <gtest/gtest.h>

#include <vector>

#include "fabric/byte_ring.h"

namespace lockstep {
namespace {

Fault SomeFault() {
  Fault fault{.kind = FaultKind::kFifoOverflow, .chip = 70'000, .queue = 143, .cycle = -5,
              .instruction = {.op = Opcode::kReceive, .joined = true}, .detail = "link 15"};
  fault.instruction.arg = {1, -2, 3, -4, 5, -6, 7, -8};
  return fault;
}

TEST(AgreementTest, AFaultSurvivesItsBytes) {
  const Fault in = SomeFault();
  const auto out = ParseFault(SerializeFault(in));
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(out->kind, in.kind);
  EXPECT_EQ(out->chip, in.chip);
  EXPECT_EQ(out->queue, in.queue);
  EXPECT_EQ(out->cycle, in.cycle);
  EXPECT_EQ(out->instruction, in.instruction);
  EXPECT_EQ(out->detail, in.detail);
}

TEST(AgreementTest, TruncatedOrUnknownFaultsAreRefused) {
  const std::string bytes = SerializeFault(SomeFault());
  const size_t fixed = bytes.size() - SomeFault().detail.size();
  for (size_t n = 0; n < fixed; ++n) EXPECT_FALSE(ParseFault(bytes.substr(0, n)).ok()) << n;
  EXPECT_TRUE(ParseFault(bytes.substr(0, fixed)).ok());
  std::string unknown_kind = bytes;
  unknown_kind[0] = '\xff';
  EXPECT_FALSE(ParseFault(unknown_kind).ok());
}

TEST(ByteRingTest, TakesWhatFitsAndAsksToBeRungForTheRest) {
  constexpr uint64_t kCapacity = 64;
  std::vector<RingHeader> memory(1 + kCapacity / sizeof(RingHeader) + 1);
  ByteRing ring(memory.data(), kCapacity);
  const std::string text = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,.-+*/";
  std::string read;
  EXPECT_EQ(ring.Write(text.data(), 40), 40u);
  EXPECT_FALSE(ring.ReadAll(&read));  // nobody waits for space
  EXPECT_EQ(read, text.substr(0, 40));
  EXPECT_EQ(ring.Write(text.data(), 68), 64u);  // across the seam
  EXPECT_TRUE(ring.full());
  read.clear();
  EXPECT_TRUE(ring.ReadAll(&read));
  EXPECT_EQ(read, text.substr(0, 64));
  EXPECT_TRUE(ring.empty());
}

}  // namespace
}  // namespace lockstep
