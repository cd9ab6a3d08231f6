// `lockstep exec` as a user runs it; what it prints of programs is in tests/golden.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/launcher/shell.h"
#include "tests/chip/test_folder.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

Outcome Exec(const std::string& arguments) { return Lockstep("exec " + arguments); }

class ExecCommandTest : public WithFolder {
 protected:
  // Adds 1 to word 0 of slice 44.
  std::string Increment() const {
    return folder_.FileWith("increment.prog",
                            ".word 44 0 = 05\n.dump 44 0 1\n"
                            "mem44:\nread 0, 0, w0\nnop 6\nwrite 0, 0, e0\n"
                            "vxm0:\nnop 4\nadd i8, 0, w0, #1, e0\n");
  }
};

TEST_F(ExecCommandTest, SramStaysFromRunToRun) {
  EXPECT_THAT(Exec(Increment()).output, HasSubstr(".word 44 0 = 06\n"));
  EXPECT_THAT(Exec(Increment() + " --runs 10").output, HasSubstr(".word 44 0 = 0f\n"));  // 5 + 10
}

TEST_F(ExecCommandTest, TheTimingEngineHasNoValues) {
  const Outcome run = Exec(Increment() + " --engine timing --runs 10");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, HasSubstr("chip0: 8 cycles, 3 dispatches in 3 runs, digest "));
  EXPECT_THAT(run.output, ::testing::Not(HasSubstr(".word")));
}

TEST_F(ExecCommandTest, AFaultIsOneLineAndExitCodeOne) {
  const Outcome run = Exec(Increment() + " --timeline --set add=3");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.output,
            "lockstep: fault: stream empty: chip0 mem44 @7: write 0, 0, e0: nothing flows on e0 at "
            "position 14\n");
}

TEST_F(ExecCommandTest, TheSecondProgramRunsOnTheSecondChip) {
  const std::string lone = folder_.FileWith("lone.prog", "mem3:\nsync\n");
  EXPECT_THAT(Exec(Increment() + " " + lone).output, HasSubstr("never released: chip1 mem3 @0"));
}

TEST_F(ExecCommandTest, HopLatenciesMoveArrivals) {
  const std::string send = folder_.FileWith("send.prog", "mem43:\nread 0, 0, w0\nc2c0:\nnop 4\nsend w0\n");
  // Preset A flies 217 cycles: 28 + 217.
  const std::string take = folder_.FileWith("take.prog", "c2c6:\nnop 245\nreceive 0, 0, 0\n");
  EXPECT_EQ(Exec(send + " " + take + " --hop-latency A").exit_code, 0);
  EXPECT_THAT(Exec(send + " " + take).output, HasSubstr("receive empty: chip1 c2c6 @245"));
}

TEST_F(ExecCommandTest, WrongUsageIsExitCodeTwo) {
  EXPECT_EQ(Exec("").exit_code, 2);
  EXPECT_EQ(Exec(Increment() + " --runs 0").exit_code, 2);
  EXPECT_EQ(Exec(Increment() + " --engine none").exit_code, 2);
  EXPECT_EQ(Exec(Increment() + " --set nothing=3").exit_code, 2);
  const Outcome many = Exec("a b c --topology groqcard");  // one card is one chip
  EXPECT_EQ(many.exit_code, 2);
  EXPECT_THAT(many.output, HasSubstr("3 programs, but groqcard has 1 chips"));
}

TEST_F(ExecCommandTest, AnErrorOfTheWorldNamesTheFile) {
  const Outcome run = Exec("/nonexistent");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, HasSubstr("cannot open /nonexistent"));
  EXPECT_EQ(Exec(Increment() + " >/dev/full").exit_code, 1);
}

}  // namespace
}  // namespace lockstep
