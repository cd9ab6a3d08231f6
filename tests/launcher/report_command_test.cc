// `lockstep report` without a controller; with one: tests/controller/service_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/chip/test_folder.h"
#include "tests/launcher/shell.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

class ReportCommandTest : public WithFolder {
 protected:
  std::string File(const char* name) const { return folder_.File(name); }
};

TEST_F(ReportCommandTest, APageOfAFolderShowsWhatCommandsLeftThere) {
  ASSERT_EQ(Lockstep("compare --sizes 1K,4K --csv " + File("report.csv")).exit_code, 0);
  ASSERT_EQ(Lockstep("collective --topology groqnode --bytes 4096 --report " +
                     File("report.json") + " --links " + File("links.csv")).exit_code, 0);
  const Outcome run = Lockstep("report --from " + File("") + " --html " + File("page.html"));
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(run.output, "");
  const std::string page = ReadFile(File("page.html"));
  EXPECT_THAT(page, HasSubstr("56 links, "));
  EXPECT_THAT(page, HasSubstr("all_reduce: bus bandwidth"));
}

TEST_F(ReportCommandTest, WrongUseIsOneLine) {
  const auto fails = [](const std::string& arguments, int code, const std::string& why) {
    const Outcome run = Lockstep("report " + arguments);
    EXPECT_EQ(run.exit_code, code) << arguments << ": " << run.output;
    EXPECT_THAT(run.output, HasSubstr(why));
  };
  fails("", 2, "name a job, or --from FOLDER");
  fails("--from x", 2, "--from has no effect without --html");
  fails("j1 j2", 2, "several jobs need --html");
  fails("--from x --html y --json", 2, "--json has no effect with --html");
  fails("--from /nosuch --html " + File("page.html"), 1, "/nosuch has none of report.json");
  EXPECT_EQ(ReadFile(File("page.html")), "");
}

}  // namespace
}  // namespace lockstep
