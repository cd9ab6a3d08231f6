// `lockstep topo` as a user runs it: output, exit codes, errors on standard error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/launcher/shell.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(TopoCommandTest, PrintsATableOfARack) {
  const Outcome run = Lockstep("topo groqrack");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, HasSubstr("72, 64 without the spare ones"));
  EXPECT_THAT(run.output, HasSubstr("144 within a rack"));
}

TEST(TopoCommandTest, JsonHoldsTheSameNumbers) {
  const Outcome run = Lockstep("topo dragonfly-10440 --json");
  EXPECT_EQ(run.exit_code, 0);
  const auto json = nlohmann::json::parse(run.output, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << run.output;
  EXPECT_EQ(json["chips"], 10'440);
  EXPECT_EQ(json["chip_diameter_hops"], 7);
  EXPECT_EQ(json["node_to_node_hops"], 5);
}

TEST(TopoCommandTest, AnUnknownTopologyIsOneLineAndExitCode1) {
  const Outcome run = Lockstep("topo nosuch");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, StartsWith("lockstep: unknown topology \"nosuch\"; known in "));
}

TEST(TopoCommandTest, WrongUsageIsExitCode2AndHelpIs0) {
  EXPECT_EQ(Lockstep("topo").exit_code, 2);
  EXPECT_EQ(Lockstep("topo groqnode --nosuch").exit_code, 2);
  EXPECT_EQ(Lockstep("").exit_code, 2);
  EXPECT_EQ(Lockstep("topo --help").exit_code, 0);
}

}  // namespace
}  // namespace lockstep
