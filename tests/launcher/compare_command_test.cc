// `lockstep compare` as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/launcher/shell.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(CompareCommandTest, BaselineOnlyPrintsNcclTestsColumns) {
  const Outcome run = Lockstep("compare --baseline-only --sizes 8:8G:2");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, StartsWith("all_reduce\n       bytes      time us    algbw    busbw"));
  EXPECT_THAT(run.output, HasSubstr("  8589934592 "));
}

TEST(CompareCommandTest, CsvHasARowASizeForEveryCollectiveMachineAndNumberOfGpus) {
  const std::string file = testing::TempDir() + "/compare.csv";
  for (const char* collective :
       {"all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all", "sendrecv"}) {
    for (const char* machine : {"dgx-a100 --gpus 2", "dgx-h100 --gpus 8", "a100-pcie --gpus 4"}) {
      const Outcome run =
          Lockstep(std::string("compare --baseline-only --sizes 8,1000,1M --collective ") +
                   collective + " --baseline " + machine + " --csv " + file);
      EXPECT_EQ(run.exit_code, 0) << run.output;
      std::ifstream in(file);
      std::stringstream text;
      text << in.rdbuf();
      EXPECT_THAT(text.str(), HasSubstr(std::string(collective) + ",1048576,,,,")) << machine;
    }
  }
  std::remove(file.c_str());
}

TEST(CompareCommandTest, ExplainSaysWhatNcclChoosesAndWhy) {
  const Outcome run = Lockstep("compare --explain 1M --baseline dgx-h100 --nccl-version 2.28");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, HasSubstr("all_reduce of 1048576 B on 8 GPUs of dgx-h100, NCCL 2.28.0"));
  EXPECT_THAT(run.output, HasSubstr("<- chosen"));
  EXPECT_THAT(run.output, HasSubstr("waits and barriers in thread blocks"));
}

TEST(CompareCommandTest, OurSideIsExecutedCheckedAndSummed) {
  const Outcome run = Lockstep("compare --sizes 1K,64K,1M --topology groqnode --check 1K");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("1v  Ring/LL"));  // 1 round, values checked
  EXPECT_THAT(run.output, HasSubstr("Channels each way: 87.5 GB/s a chip, 300.0 GB/s a GPU: 3.43"));
  EXPECT_THAT(run.output, HasSubstr("Ours is faster at: 1K to 1M"));
}

TEST(CompareCommandTest, EveryCollectiveHasOurSide) {
  for (const char* collective :
       {"all_gather", "reduce_scatter", "broadcast", "all_to_all", "sendrecv"}) {
    const Outcome run = Lockstep(std::string("compare --sizes 1K,100000 --collective ") + collective);
    EXPECT_EQ(run.exit_code, 0) << run.output;
    EXPECT_THAT(run.output, HasSubstr("Ours is faster at: 1K to"));
  }
}

TEST(CompareCommandTest, ThePictureHasARowACollective) {
  const std::string file = testing::TempDir() + "/compare.svg";
  const Outcome run = Lockstep("compare --sizes 1K,64K --collective all_reduce,all_gather --svg " + file);
  EXPECT_EQ(run.exit_code, 0) << run.output;
  const std::string svg = ReadFile(file);
  for (const char* part : {"all_reduce: bus bandwidth", "all_gather: share of channels",
                           "GPUs of dgx-a100, of 300.0 GB/s"}) {
    EXPECT_THAT(svg, HasSubstr(part));
  }
  std::remove(file.c_str());
}

TEST(CompareCommandTest, BadUseIsOneLine) {
  const auto fails = [](const std::string& arguments, int code, const char* what) {
    const Outcome run = Lockstep("compare --baseline-only " + arguments);
    EXPECT_EQ(run.exit_code, code) << run.output;
    EXPECT_THAT(run.output, HasSubstr(what));
  };
  fails("--sizes 0", 2, "message size \"0\": need at least 1 B");
  fails("--sizes -8", 2, "need at least 1 B");
  fails("--sizes 99999999999G", 2, "message size");
  fails("--collective all_reduces", 2, "unknown collective \"all_reduces\"; there are all_reduce");
  fails("--baseline nosuch", 1, "unknown GPU machine \"nosuch\"; known in ");
  fails("--baseline groqnode", 1, "unknown GPU machine");
  fails("--gpus 3", 2, "--gpus");
  fails("--nccl-version 2.99", 2, "NCCL version \"2.99\"");
  fails("--algorithm NVLS", 1, "is not among what NCCL");
  fails("--csv /nosuch/file --sizes 8", 1, "/nosuch/file");
  fails("--explain 8", 2, "excludes");
  fails("--check 1K", 2, "excludes");
  EXPECT_EQ(Lockstep("compare --sizes 1K --topology nosuch").exit_code, 1);
}

}  // namespace
}  // namespace lockstep
