// `lockstep collective` as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/chip/test_folder.h"
#include "tests/launcher/shell.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(CollectiveCommandTest, PrintsCyclesBandwidthAndDigests) {
  const Outcome run = Lockstep("collective --topology groqrack --bytes 320 --engine functional");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  for (const char* part : {"all_reduce of 320 B on groqrack, 72 chips", "cycles", "algbw", "busbw",
                           "vectors", "wall time", "MiB at most", "timing ", "values ",
                           "bit-equal on all chips"}) {
    EXPECT_THAT(run.output, HasSubstr(part));
  }
}

TEST(CollectiveCommandTest, EveryKindRunsOnANode) {
  for (const char* kind : {"all_reduce", "reduce_scatter", "all_gather", "broadcast",
                           "all_to_all", "sendrecv"}) {
    const Outcome run = Lockstep(std::string("collective --topology groqnode --bytes 20000 "
                                             "--engine functional --kind ") + kind);
    EXPECT_EQ(run.exit_code, 0) << run.output;
    EXPECT_THAT(run.output, HasSubstr(kind));
  }
}

TEST(CollectiveCommandTest, HopLatencyAndSetChangeCycles) {
  const std::string base = "collective --topology groqnode --bytes 320";
  const auto cycles = [](const std::string& arguments) {
    const std::string out = Lockstep(arguments).output;
    const size_t at = out.find("cycles  ");
    return at == std::string::npos ? std::string() : out.substr(at, out.find('=', at) - at);
  };
  EXPECT_NE(cycles(base), "");
  EXPECT_NE(cycles(base), cycles(base + " --hop-latency A"));
  EXPECT_NE(cycles(base), cycles(base + " --set read=9"));
}

TEST(CollectiveCommandTest, FilesHaveTheFiguresAndALineALink) {
  const TestFolder folder;
  const std::string report = folder.File("report.json"), links = folder.File("links.csv");
  const Outcome run = Lockstep("collective --topology groqnode --bytes 1M --kind sendrecv --report " +
                               report + " --links " + links);
  EXPECT_EQ(run.exit_code, 2) << "bytes are a plain number";
  EXPECT_EQ(ReadFile(report), "");
  const Outcome good = Lockstep("collective --topology groqnode --bytes 1000000 --kind sendrecv "
                                "--report " + report + " --links " + links);
  EXPECT_EQ(good.exit_code, 0) << good.output;
  const std::string json = ReadFile(report), csv = ReadFile(links);
  EXPECT_THAT(json, HasSubstr("\"kind\": \"sendrecv\""));
  EXPECT_THAT(json, HasSubstr("\"busbw_GBps\": "));
  EXPECT_THAT(csv, testing::StartsWith("from,port,to,vectors,busy_share\n0,0,1,"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 8 * 7);
}

TEST(CollectiveCommandTest, WrongUsageIsExitCode2AndSaysWhy) {
  const auto fails = [](const std::string& arguments, const std::string& why) {
    const Outcome run = Lockstep("collective " + arguments);
    EXPECT_EQ(run.exit_code, 2) << arguments;
    EXPECT_THAT(run.output, HasSubstr(why));
  };
  fails("--topology groqnode", "--bytes");
  fails("--topology nosuch --bytes 320", "unknown topology");
  fails("--topology groqnode --bytes 0", "a collective of 0 B");
  fails("--topology groqnode --bytes 320 --kind sum", "no collective is called sum");
  fails("--topology groqnode --bytes 320 --chips 9", "chips");
  fails("--topology groqrack --bytes 320 --algorithm routes",
        "all-reduce over 72 chips cannot be made by routes");
}

}  // namespace
}  // namespace lockstep
