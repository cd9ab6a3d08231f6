// `lockstep asm`, `disasm` and `isa` as a user runs them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/launcher/shell.h"
#include "tests/chip/test_folder.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

using AsmCommandTest = WithFolder;

TEST_F(AsmCommandTest, DisassemblyOfTheBinaryIsTheText) {
  const std::string text = "mem0:\n  read 1, 0, e0\n  & write 4096, 0, w3\n";
  const std::string path = folder_.FileWith("round.txt", text), binary = path + ".bin";
  EXPECT_THAT(Lockstep("asm " + path + " -o " + binary).output,
              StartsWith("2 instructions in 1 queues, 624 B"));  // 592 + 2 * 16
  const Outcome run = Lockstep("disasm " + binary);
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.output, text);
}

TEST_F(AsmCommandTest, AnErrorNamesFileLineAndColumn) {
  const std::string path = folder_.FileWith("bad.txt", "mem0:\n  read 9000, 0, e0\n");
  const Outcome run = Lockstep("asm " + path);
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, HasSubstr(path + ": line 2, column 8: address = 9000"));
}

TEST_F(AsmCommandTest, DataIsRefusedWhereItWouldBeLost) {
  const std::string path = folder_.FileWith("data.txt", ".word 0 0 = 01\n");
  EXPECT_EQ(Lockstep("asm " + path).exit_code, 0);
  EXPECT_EQ(Lockstep("asm " + path + " -o " + path + ".bin").exit_code, 1);
}

TEST_F(AsmCommandTest, WhatCannotBeReadOrWrittenIsAnError) {
  EXPECT_THAT(Lockstep("disasm " + ::testing::TempDir()).output, HasSubstr("cannot read"));
  EXPECT_THAT(Lockstep("disasm /nonexistent").output, HasSubstr("cannot open /nonexistent"));
  const Outcome full =
      Lockstep("asm " + folder_.FileWith("ok.txt", "mem0:\nsync\n") + " -o /dev/full");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.output, HasSubstr("cannot write /dev/full"));
}

TEST_F(AsmCommandTest, IsaPrintsTheDocument) {
  std::ifstream in(std::string(LOCKSTEP_SOURCE_DIR) + "/docs/isa.md");
  const std::string page((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_EQ(Lockstep("isa").output, page);
}

}  // namespace
}  // namespace lockstep
