// `lockstep asm`, `disasm` and `isa` as a user runs them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct AsmOutcome {
  int exit_code;
  std::string output;  // both streams
};

AsmOutcome RunLockstep(const std::string& arguments) {
  const std::string command = std::string(LOCKSTEP_BIN_DIR) + "/lockstep " + arguments + " 2>&1";
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, n);
  return {WEXITSTATUS(pclose(pipe)), output};
}

// A file of the test's own with `text` in it.
std::string FileWith(const std::string& name, const std::string& text) {
  const std::string path = ::testing::TempDir() + "/lockstep_asm_" + name;
  std::ofstream(path) << text;
  return path;
}

TEST(AsmCommandTest, DisassemblyOfTheBinaryIsTheText) {
  const std::string text = "mem0:\n  read 1, 0, e0\n  & write 4096, 0, w3\n";
  const std::string path = FileWith("round.txt", text), binary = path + ".bin";
  EXPECT_THAT(RunLockstep("asm " + path + " -o " + binary).output,
              StartsWith("2 instructions in 1 queues, 624 B"));  // 592 + 2 * 16
  const AsmOutcome run = RunLockstep("disasm " + binary);
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.output, text);
}

TEST(AsmCommandTest, AnErrorNamesFileLineAndColumn) {
  const std::string path = FileWith("bad.txt", "mem0:\n  read 9000, 0, e0\n");
  const AsmOutcome run = RunLockstep("asm " + path);
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, HasSubstr(path + ": line 2, column 8: address = 9000"));
}

TEST(AsmCommandTest, DataIsRefusedWhereItWouldBeLost) {
  const std::string path = FileWith("data.txt", ".word 0 0 = 01\n");
  EXPECT_EQ(RunLockstep("asm " + path).exit_code, 0);
  EXPECT_EQ(RunLockstep("asm " + path + " -o " + path + ".bin").exit_code, 1);
}

TEST(AsmCommandTest, WhatCannotBeReadOrWrittenIsAnError) {
  EXPECT_THAT(RunLockstep("disasm " + ::testing::TempDir()).output, HasSubstr("cannot read"));
  EXPECT_THAT(RunLockstep("disasm /nonexistent").output, HasSubstr("cannot open /nonexistent"));
  const AsmOutcome full =
      RunLockstep("asm " + FileWith("ok.txt", "mem0:\nsync\n") + " -o /dev/full");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.output, HasSubstr("cannot write /dev/full"));
}

TEST(AsmCommandTest, IsaPrintsTheDocument) {
  std::ifstream in(std::string(LOCKSTEP_SOURCE_DIR) + "/docs/isa.md");
  const std::string page((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_EQ(RunLockstep("isa").output, page);
}

}  // namespace
}  // namespace lockstep
