// Pictures and pages: what is shown, what is left out, and input of any kind.
#include "runtime/pages/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "fabric/counted.h"
#include "runtime/pages/chart.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kReport[] = R"({"model": {"model": "story"}, "machine": {"topology": "groqnode",
  "topology_nodes": 1, "stages": 1}, "plan": {"weights": "fp16", "kv_cache": "int8",
  "sram_bytes_per_chip": {"capacity": 200, "used": 100, "layers": 60, "kv_cache": 40}}, "emulated": {"cycles_per_token": 1000, "cycles_by_work":
  {"weights": 600, "links": 400}, "tokens_per_second_per_user": 12345.6, "programs": []},
  "output": {"text": "once <upon> & a time"}})";
constexpr char kLinks[] =
    "from,port,to,vectors,busy_share\n0,0,1,10,0.2500\n1,0,0,5,0.1250\n1,1,2,0,0.0000\n2,1,1,0,0.0\n";

TEST(PageTest, ShowsARunsFiguresSharesAndText) {
  const std::string page = ReportPage({{"j1, run", {{"report.json", kReport}}}});
  EXPECT_THAT(page, HasSubstr("<h2>j1, run</h2>"));
  EXPECT_THAT(page, HasSubstr("<td>tokens/s/user</td><td>12345.6</td>"));
  EXPECT_THAT(page, HasSubstr("<td>KV cache</td><td>int8</td>"));
  EXPECT_THAT(page, HasSubstr("layers 30.0 %"));   // 60 of 200 B
  EXPECT_THAT(page, HasSubstr("weights 60.0 %"));  // 600 of 1000 cycles
  EXPECT_THAT(page, HasSubstr("once &lt;upon&gt; &amp; a time"));
}

TEST(PageTest, LinksAreCellsOfTheBusiestShare) {
  const std::string page = ReportPage({{"x", {{"links.csv", kLinks}}}});
  EXPECT_THAT(page, HasSubstr("4 links, 9.38 % busy on average, the busiest 25.00 %"));
  EXPECT_THAT(page, HasSubstr("<title>0 to 1: 25.00 % of the time</title>"));
  EXPECT_THAT(page, Not(HasSubstr("<title>0 to 2:")));  // no cable
}

TEST(PageTest, ATimelineShowsTheFirstCyclesOfChip0) {
  const std::string trace =
      R"({"traceEvents": [{"ph": "M", "pid": 0, "tid": 8, "name": "thread_name",
      "args": {"name": "mem0"}}, {"ph": "X", "pid": 0, "tid": 8, "ts": 40, "dur": 10, "name": "read"},
      {"ph": "X", "pid": 0, "tid": 8, "ts": 9000, "dur": 1, "name": "late"},
      {"ph": "X", "pid": 1, "tid": 8, "ts": 40, "dur": 1, "name": "elsewhere"}]})";
  const std::string page = ReportPage({{"x", {{"timeline.json", trace}}}});
  EXPECT_THAT(page, HasSubstr("read: cycles 40 to 49"));
  EXPECT_THAT(page, Not(HasSubstr("late")));
  EXPECT_THAT(page, Not(HasSubstr("elsewhere")));
}

TEST(PageTest, AboveSoManyChipsACellIsANode) {
  std::string links = "from,port,to,vectors,busy_share\n0,0,1,1,0.5\n0,7,9,1,0.25\n";
  links += "143,0,136,1,0.125\n";  // inside the last of 18 nodes of 8
  const std::string report = R"({"padded_bytes": 8, "chips_per_node": 8, "vectors": 12345678})";
  const std::string page = ReportPage({{"x", {{"report.json", report}, {"links.csv", links}}}});
  EXPECT_THAT(page, HasSubstr("busiest link from node to node"));
  EXPECT_THAT(page, HasSubstr("<title>0 to 0: 50.00 % of the time</title>"));
  EXPECT_THAT(page, HasSubstr("<title>0 to 1: 25.00 % of the time</title>"));
  EXPECT_THAT(page, HasSubstr("<title>17 to 17: 12.50 % of the time</title>"));
  EXPECT_THAT(page, HasSubstr("<td>vectors over links</td><td>12,345,678</td>"));
}

TEST(PageTest, EveryStageOfAPipelineHasATrack) {
  std::string programs;
  for (int stage = 0; stage < 80; ++stage) {
    absl::StrAppend(&programs, stage > 0 ? "," : "", "{\"stage\":", stage, ",\"start_cycle\":",
                    stage, ",\"end_cycle\":", stage + 1, "}");
  }
  const std::string report = absl::StrCat(R"({"emulated": {"cycles_per_token": 80, "programs": [)",
                                          programs, "]}}");
  const std::string page = ReportPage({{"x", {{"report.json", report}}}});
  EXPECT_THAT(page, HasSubstr("layers: cycles 79 to 79"));
  EXPECT_THAT(page, HasSubstr(">stage 79<"));
  EXPECT_THAT(page, Not(HasSubstr("<th></th>"))) << "heads without a word";
}

TEST(PageTest, StagesOfAPlanNameTheirLayers) {
  const std::string report = R"({"stages": [{"node": "0.1", "layers": [2, 4]},
      {"node": "0.2", "layers": [4, 4]}, {"node": "0.3", "layers": [-1, 18446744073709551615]}]})";
  const std::string page = ReportPage({{"x", {{"report.json", report}}}});
  EXPECT_THAT(page, HasSubstr("<td>2 to 3</td>"));
  EXPECT_THAT(page, Not(HasSubstr("<td>4 to"))) << "none";
  EXPECT_THAT(page, Not(HasSubstr("<td>-1"))) << "no range";
}

TEST(PageTest, ALegendNamesAllThatATimelineShows) {
  std::string events;
  for (int i = 0; i < 30; ++i) {
    absl::StrAppend(&events, i > 0 ? "," : "", R"({"ph": "X", "pid": 0, "tid": 8, "ts": )", 10 * i,
                    R"(, "dur": 5, "name": "kernel number )", i, "\"}");
  }
  const std::string trace = absl::StrCat(R"({"traceEvents": [)", events, "]}");
  const std::string page = ReportPage({{"x", {{"timeline.json", trace}}}});
  for (int i = 0; i < 30; ++i) {
    EXPECT_THAT(page, HasSubstr(absl::StrCat(">kernel number ", i, "</text>")));
  }
}

TEST(SvgTest, DigitsStandInGroupsOfThree) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1000), "1,000");
  EXPECT_EQ(Grouped(-123456), "-123,456");
  EXPECT_EQ(Grouped(68976648192), "68,976,648,192");
}

TEST(PageTest, RunsAreSetBesideEachOther) {
  const PageJob a{"j1", {{"report.json", kReport}}}, b{"j2", {{"report.json", kReport}}};
  EXPECT_THAT(ReportPage({a, b}), HasSubstr("<th></th><th>j1</th><th>j2</th>"));
  EXPECT_THAT(ReportPage({a, b}), HasSubstr("<td>KV cache</td><td>int8</td><td>int8</td>"));
  EXPECT_THAT(ReportPage({a}), Not(HasSubstr("beside each other")));
}

TEST(PageTest, AComparisonHasCurvesAndRatios) {
  const std::string csv =
      "collective,bytes,lockstep_time_us,lockstep_algbw_GBps,lockstep_busbw_GBps,"
      "baseline_time_us,baseline_algbw_GBps,baseline_busbw_GBps\n"
      "all_reduce,1024,1,1,4,2,0.5,2\nall_reduce,2048,1,2,8,2,1,4\nall_gather,1024,,,,2,1,4\n";
  const std::string page = ReportPage({{"x", {{"report.csv", csv}}}});
  EXPECT_THAT(page, HasSubstr("<td>2.000</td>"));
  EXPECT_THAT(page, HasSubstr("all_reduce: bus bandwidth"));
  EXPECT_THAT(page, HasSubstr("all_gather: bus bandwidth"));
}

TEST(PageTest, AnyInputGivesAPageThatRefersToNothing) {
  for (const char* bad : {"", "{", "[1,2]", "null", "a,b\n1,2\n", R"({"emulated": 3})",
                          R"({"emulated": {"programs": [7]}, "machine": []})",
                          R"({"stages": [3]})", R"({"traceEvents": [null, {"pid": 0}]})",
                          "from,port,to,vectors,busy_share\n-1,0,5,x,nan\n7,0,99999999,1,1\n",
                          "<script>alert(1)</script>"}) {
    PageJob job{"<script>", {}};
    for (const char* name :
         {"report.json", "links.csv", "timeline.json", "report.csv", "table.txt"}) {
      job.files[name] = bad;
    }
    const std::string page = ReportPage({job, job});
    EXPECT_THAT(page, HasSubstr("</html>")) << bad;
    EXPECT_THAT(page, Not(HasSubstr("<script"))) << bad;
    EXPECT_THAT(page, Not(HasSubstr("src="))) << bad;
  }
}

TEST(ChartTest, LabelsOfSizesAreBinaryAndCurvesSkipWhatAnAxisCannotShow) {
  EXPECT_EQ(SizeLabel(4096), "4K");
  EXPECT_EQ(SizeLabel(8.0 * (1 << 30)), "8G");
  Svg svg(400, 300);
  DrawChart(svg, {0, 0, 400, 300},
            {"t", "x", "y", true, {{"a", {{0, 1}, {8, 0}, {16, 10}, {64, 100}}}}});
  const std::string text = svg.Finish();
  EXPECT_THAT(text, HasSubstr("a: 10 at 16"));
  EXPECT_THAT(text, Not(HasSubstr("at 8<")));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace lockstep
