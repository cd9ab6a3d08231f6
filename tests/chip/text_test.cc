// The text form round-trips and its errors say where.
#include "chip/text.h"

#include "tests/chip/random_program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(absl::string_view text) {
  return std::string(AssembleFile(text).status().message());
}

TEST(TextTest, EveryRandomProgramRoundTrips) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Program program = RandomProgram(seed, 10);
    const auto again = Assemble(Disassemble(program));
    ASSERT_TRUE(again.ok()) << "seed " << seed << ": " << again.status();
    EXPECT_EQ(*again, program) << "seed " << seed;
  }
}

TEST(TextTest, ReadsWhatTheHeaderShows) {
  const auto file = AssembleFile(
      "; two words\n.fetched\n.word 3 17 = 0c\nmem3:\n read 17, 0, e4 ; x\n & write 4097, 0, e8\n"
      "vxm0:\r\n nop 5\n add f32, 0, e0, #1.5, w4\n.dump 3 4097 2\n");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->program.fetched);
  ASSERT_EQ(file->program.queues[MemQueue(3)].size(), 2u);
  EXPECT_TRUE(file->program.queues[MemQueue(3)][1].joined);
  const Instruction& add = file->program.queues[VxmQueue(0)][1];
  EXPECT_EQ(add.arg, (std::array<int32_t, 8>{kTypeF32, 0, 0, kNoStream, 0x3fc00000, 36}));
  EXPECT_EQ(file->words[0].value.bytes[319], 0x0c);
  EXPECT_EQ(file->dumps[0], (SramDump{3, 4097, 2}));
  EXPECT_EQ(*AssembleFile(Disassemble(*file)), *file);
}

TEST(TextTest, ImmediatesAreOfTheInstructionsType) {
  const auto imm = [](absl::string_view type, absl::string_view value) {
    const auto p = Assemble(absl::StrCat("vxm0:\nadd ", type, ", 0, e0, ", value, ", e8"));
    return p.ok() ? static_cast<uint32_t>(p->queues[VxmQueue(0)][0].arg[4]) : 0xdeadbeef;
  };
  EXPECT_EQ(imm("f16", "#1.5"), 0x3e00u);
  EXPECT_EQ(imm("f32", "#-0"), 0x80000000u);
  EXPECT_EQ(imm("f32", "#0x7fc00000"), 0x7fc00000u);
  EXPECT_EQ(imm("i8", "#-128"), 0xffffff80u);
  EXPECT_EQ(imm("i8", "#128"), 0xdeadbeef);
  EXPECT_EQ(imm("f16", "#65520"), 0xdeadbeef);  // rounds to infinity
  EXPECT_EQ(imm("i32", "#0x100000000"), 0xdeadbeef);
}

TEST(TextTest, ErrorsNameLineColumnAndValue) {
  EXPECT_EQ(ErrorOf("mem0:\n  read 8192, 0, e0"),
            "line 2, column 8: address = 8192 is not in 0..8191");
  EXPECT_EQ(ErrorOf("mem0:\n  raed 1"), "line 2, column 3: no instruction is called `raed`");
  EXPECT_EQ(ErrorOf("mem88:"), "line 1, column 1: no queue is called `mem88`");
  EXPECT_EQ(ErrorOf("read 1, 0, e0"), "line 1, column 1: read stands in no queue");
  EXPECT_EQ(ErrorOf("mem0:\nsend e0"), "line 2, column 1: mem0 does not issue send");
  EXPECT_THAT(ErrorOf("mem0:\nread 1, 0, e32"), HasSubstr("line 2, column 12: out = `e32`"));
  EXPECT_THAT(ErrorOf("mem0:\nread 1, 0"), HasSubstr("line 2, column 10: `, out` expected"));
  EXPECT_THAT(ErrorOf("mem0:\nsync 4"), HasSubstr("line 2, column 6: unexpected `4`"));
  EXPECT_THAT(ErrorOf("vxm0:\nabs f32, e2, e4"), HasSubstr("not aligned"));
  EXPECT_THAT(ErrorOf(".word 0 0 = 123"), HasSubstr("line 1, column 13"));
  EXPECT_THAT(ErrorOf(".dump 0 8190 3"), HasSubstr("count = 3 is not in 1..2"));
}

TEST(TextTest, DataIsNoPartOfAPlainProgram) {
  EXPECT_TRUE(AssembleFile(".word 0 0 = 00").ok());
  EXPECT_FALSE(Assemble(".word 0 0 = 00").ok());
}

TEST(TextTest, FaultPrintsItsPlaceAndInstruction) {
  const Fault fault{FaultKind::kBankConflict, 3, 7, 120, {Opcode::kRead, false, {12, 0, 5}}, "x"};
  EXPECT_EQ(fault.ToString(), "fault: bank conflict: chip3 mem7 @120: read 12, 0, e5: x");
}

}  // namespace
}  // namespace lockstep
