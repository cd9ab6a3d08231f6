// The frame of a page (runtime/pages/page.h).
#include "runtime/pages/page.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/pages/page_parts.h"
#include "runtime/pages/svg.h"

namespace lockstep {
namespace {

constexpr char kHead[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data:\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<link rel=\"icon\" href=\"data:,\">\n"
    "<title>Lockstep report</title>\n<style>\n"
    "body { font-family: sans-serif; color: #222; max-width: 1080px; margin: 2em auto; padding: 0 "
    "1em; }\n"
    "h2 { border-top: 2px solid #0072b2; padding-top: 0.6em; margin-top: 2em; }\n"
    "table { border-collapse: collapse; margin: 0.6em 0; }\n"
    "th, td { border: 1px solid #ccc; padding: 0.25em 0.7em; text-align: right; }\n"
    "th { background: #f0f4f8; }\ntd:first-child, th:first-child { text-align: left; }\n"
    "pre { background: #f7f7f7; padding: 0.8em; overflow-x: auto; font-size: 80%; }\n"
    "svg { max-width: 100%; height: auto; }\np { line-height: 1.4; }\n"
    "</style>\n</head>\n<body>\n<h1>Lockstep report</h1>\n";

const std::string* FileOf(const PageJob& job, const char* name) {
  const auto found = job.files.find(name);
  return found == job.files.end() ? nullptr : &found->second;
}

PageJson ReportOf(const PageJob& job) {
  const std::string* text = FileOf(job, "report.json");
  return text == nullptr ? PageJson() : PageJson::parse(*text, nullptr, false);
}

bool IsRun(const PageJson& report) { return report.is_object() && report.contains("emulated"); }

// Figures of several runs, a column each.
std::string RunsSection(const std::vector<PageJob>& jobs) {
  static constexpr const char* kFigures[][2] = {
      {"model", "model.model"},
      {"topology", "machine.topology"},
      {"chips", "machine.chips"},
      {"weights", "plan.weights"},
      {"KV cache", "plan.kv_cache"},
      {"context", "plan.context"},
      {"sequences", "emulated.sequences"},
      {"cycles a token", "emulated.cycles_per_token"},
      {"first token, us", "emulated.first_token_us"},
      {"tokens/s/user", "emulated.tokens_per_second_per_user"},
      {"tokens/s", "emulated.tokens_per_second"},
      {"weight streams, share", "emulated.weight_stream_share"},
      {"links busy, mean", "emulated.link_share_mean"},
      {"timing digest", "output.timing_digest"}};
  std::vector<std::vector<std::string>> rows = {{""}};
  for (const auto& figure : kFigures) rows.push_back({figure[0]});
  for (const PageJob& job : jobs) {
    const PageJson report = ReportOf(job);
    if (!IsRun(report)) continue;
    rows[0].push_back(job.title);
    for (size_t i = 1; i < rows.size(); ++i) {
      const std::string text = JsonText(report, kFigures[i - 1][1]);
      double share = 0;
      const bool percent = absl::StrContains(kFigures[i - 1][1], "share");
      rows[i].push_back(percent && absl::SimpleAtod(text, &share)
                            ? absl::StrFormat("%.2f %%", 100 * share) : text);
    }
  }
  if (rows[0].size() < 3) return "";
  return absl::StrCat("<h2>Runs beside each other</h2>\n", HtmlTable(rows));
}

// Of the topology, whose chips links.csv names; 0 if unknown.
int ChipsOfANode(const PageJson& report) {
  if (!report.is_object()) return 0;
  int chips = 0, nodes = 0;
  if (absl::SimpleAtoi(JsonText(report, "chips_per_node"), &chips)) return chips;
  return absl::SimpleAtoi(JsonText(report, "machine.topology_chips"), &chips) &&
                 absl::SimpleAtoi(JsonText(report, "machine.topology_nodes"), &nodes) && nodes > 0
             ? chips / nodes
             : 0;
}

std::string JobSection(const PageJob& job) {
  std::string out = absl::StrCat("<h2>", Escaped(job.title), "</h2>\n");
  const PageJson report = ReportOf(job);
  if (report.is_discarded()) {
    out += "<p>report.json is no JSON and is not shown.</p>\n";
  } else if (IsRun(report)) {
    out += RunSections(report);
  } else if (report.is_object() && report.contains("stages")) {
    out += PlanSections(report);
  } else if (report.is_object() && report.contains("padded_bytes")) {
    out += CollectiveSection(report);
  }
  if (const auto* csv = FileOf(job, "report.csv")) out += ComparisonSection(*csv);
  if (const auto* csv = FileOf(job, "links.csv")) {
    out += LinkSection(*csv, ChipsOfANode(report));
  }
  if (const auto* json = FileOf(job, "timeline.json")) out += TimelineSection(*json);
  if (const auto* text = FileOf(job, "table.txt")) {
    absl::StrAppend(&out, "<h3>Table</h3>\n<pre>", Escaped(*text), "</pre>\n");
  }
  return out;
}

}  // namespace

std::string ReportPage(const std::vector<PageJob>& jobs) {
  std::string page = kHead + RunsSection(jobs);
  for (const PageJob& job : jobs) page += JobSection(job);
  return page + "</body>\n</html>\n";
}

}  // namespace lockstep
