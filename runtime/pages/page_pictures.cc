// Links, timeline and comparison as pictures (runtime/pages/page_parts.h).
#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fabric/counted.h"
#include "runtime/pages/chart.h"
#include "runtime/pages/heat_map.h"
#include "runtime/pages/page_parts.h"
#include "runtime/pages/spans.h"

namespace lockstep {
namespace {

constexpr double kWidth = 920;
constexpr int kMostCells = 128;        // rows of a heat map
constexpr int kMostChips = 1 << 20;    // that a file may name
constexpr int64_t kExcerptCycles = 1200;
constexpr int64_t kMostCycles = int64_t{1} << 52;  // of a time in a file
constexpr size_t kMostTracks = 32;

// Lines of a CSV file with these heads, cell by cell; empty if the heads differ.
std::vector<std::vector<std::string>> Cells(const std::string& csv, absl::string_view heads) {
  std::vector<std::vector<std::string>> rows;
  for (const absl::string_view line : absl::StrSplit(csv, '\n', absl::SkipEmpty())) {
    rows.push_back(absl::StrSplit(line, ','));
  }
  if (rows.empty() || absl::StrJoin(rows[0], ",") != heads) return {};
  const size_t columns = rows[0].size();
  rows.erase(std::remove_if(rows.begin(), rows.end(),
                            [&](const auto& r) { return r.size() != columns; }), rows.end());
  rows.erase(rows.begin());
  return rows;
}

struct LinkLine {
  int from = 0, to = 0;
  double busy = 0;
};

std::vector<LinkLine> LinksOf(const std::string& csv) {
  std::vector<LinkLine> links;
  for (const auto& row : Cells(csv, "from,port,to,vectors,busy_share")) {
    LinkLine link;
    if (absl::SimpleAtoi(row[0], &link.from) && absl::SimpleAtoi(row[2], &link.to) &&
        absl::SimpleAtod(row[4], &link.busy) && link.from >= 0 && link.to >= 0 &&
        link.from < kMostChips && link.to < kMostChips && link.busy >= 0 && link.busy <= 1) {
      links.push_back(link);
    }
  }
  return links;
}

// A cell a chip, or of many chips a cell as many nodes as it takes; the busiest link of each.
HeatMap MapOf(const std::vector<LinkLine>& links, int per_node) {
  int chips = 0;
  for (const LinkLine& link : links) chips = std::max({chips, link.from + 1, link.to + 1});
  const auto over = [](int a, int b) { return (a + b - 1) / b; };
  per_node = per_node > 0 ? std::min(per_node, chips) : 8;
  const int nodes = chips > kMostCells ? over(over(chips, per_node), kMostCells) : 0;  // of a cell
  const int per_cell = nodes > 0 ? nodes * per_node : 1;
  const std::string what = nodes == 0   ? "chip"
                           : nodes == 1 ? "node"
                                        : absl::StrCat("group of ", nodes, " nodes");
  HeatMap map{absl::StrCat("busiest link from ", what, " to ", what), "to " + what, "from " + what,
              "% of the time", over(chips, per_cell), nodes > 0 ? 0 : per_node, {}};
  map.shares.assign(static_cast<size_t>(map.size) * map.size, -1);
  double busiest = 0;
  for (const LinkLine& link : links) {
    double& cell = map.shares[static_cast<size_t>(link.from / per_cell) * map.size +
                              link.to / per_cell];
    cell = std::max(cell, link.busy);
    busiest = std::max(busiest, link.busy);
  }
  for (const double step : {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0}) {  // a round end of the scale
    map.most = step;
    if (busiest <= step) break;
  }
  return map;
}

// The names of tracks and the spans of one process of a trace.
struct Trace {
  std::map<int64_t, Track> tracks;  // by thread
  int64_t first = kMostCycles;
};

bool HasWhole(const PageJson& event, const char* key) {
  return event.contains(key) && IsWhole(event[key]);
}

Trace TraceOf(const PageJson& events, int64_t process) {
  Trace trace;
  for (const PageJson& e : events) {
    if (!e.is_object() || !HasWhole(e, "pid") || !HasWhole(e, "tid") || e["pid"] != process) continue;
    const int64_t thread = e["tid"];
    const std::string phase = JsonText(e, "ph");
    if (phase == "M" && JsonText(e, "name") == "thread_name") {
      trace.tracks[thread].name = JsonText(e, "args.name");
    } else if (phase == "X" && HasWhole(e, "ts") && HasWhole(e, "dur")) {
      const int64_t start = e["ts"], length = e["dur"];
      if (start < 0 || start > kMostCycles || length < 0 || length > kMostCycles) continue;
      trace.tracks[thread].spans.push_back({JsonText(e, "name"), start, start + length - 1});
      trace.first = std::min(trace.first, start);
    }
  }
  return trace;
}

// Of a track's spans before cycle `to`; spans of one track do not overlap.
int64_t BusyCycles(const Track& track, int64_t to) {
  int64_t cycles = 0;
  for (const Span& s : track.spans) {
    if (s.first < to) cycles += std::min(s.last + 1, to) - s.first;
  }
  return cycles;
}

// Rows of one collective, by size.
std::string OneComparison(const std::vector<std::vector<std::string>>& rows) {
  Chart chart{absl::StrCat(rows[0][0], ": bus bandwidth"), "message, bytes", "GB/s", true,
              {{"emulated chips, executed", {}}, {"GPUs under NCCL, simulated", {}}}};
  std::vector<std::vector<std::string>> table = {
      {"bytes", "ours, us", "GPUs, us", "ours, busbw GB/s", "GPUs, busbw GB/s", "ours / GPUs"}};
  for (const auto& row : rows) {
    double bytes = 0, ours = 0, theirs = 0;
    if (!absl::SimpleAtod(row[1], &bytes) || !absl::SimpleAtod(row[7], &theirs)) continue;
    const bool both = absl::SimpleAtod(row[4], &ours) && theirs > 0;
    if (both) chart.series[0].points.push_back({bytes, ours});
    chart.series[1].points.push_back({bytes, theirs});
    table.push_back({row[1], row[2], row[5], row[4], row[7],
                     both ? absl::StrFormat("%.3f", ours / theirs) : ""});
  }
  Svg svg(kWidth, 460);
  DrawChart(svg, {0, 0, kWidth, 460}, chart);
  return svg.Finish() + HtmlTable(table);
}

}  // namespace

std::string LinkSection(const std::string& csv, int per_node) {
  const std::vector<LinkLine> links = LinksOf(csv);
  if (links.empty()) return Heading("Links") + "<p>links.csv has no links to show.</p>\n";
  const HeatMap map = MapOf(links, per_node);
  double sum = 0, busiest = 0;
  for (const LinkLine& link : links) sum += link.busy, busiest = std::max(busiest, link.busy);
  const std::string text = absl::StrFormat(
      "<p>%s links, %.2f %% busy on average, the busiest %.2f %%. White: a cable without a vector; "
      "grey: no cable, or between chips without work.</p>\n",
      Grouped(static_cast<int64_t>(links.size())), 100 * sum / static_cast<double>(links.size()),
      100 * busiest);
  Svg svg(kWidth, HeatMapHeight(map));
  DrawHeatMap(svg, {0, 0, kWidth, HeatMapHeight(map)}, map);
  return Heading("Links") + text + svg.Finish();
}

std::string TimelineSection(const std::string& text) {
  const PageJson json = PageJson::parse(text, nullptr, false);
  const bool known = json.is_object() && json.contains("traceEvents") &&
                     json["traceEvents"].is_array();
  const Trace trace = known ? TraceOf(json["traceEvents"], 0) : Trace{};
  Spans spans{"chip 0: kernels, and the queues that are busy longest", trace.first,
              trace.first + kExcerptCycles, {}};
  std::vector<std::pair<int64_t, int64_t>> busy;  // cycles, less; thread
  for (const auto& entry : trace.tracks) {
    const int64_t cycles = BusyCycles(entry.second, spans.to);
    if (cycles > 0) busy.emplace_back(-cycles, entry.first);
  }
  std::sort(busy.begin(), busy.end());
  const size_t left = busy.size() - std::min(busy.size(), kMostTracks);
  busy.resize(busy.size() - left);
  std::sort(busy.begin(), busy.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  for (const auto& entry : busy) spans.tracks.push_back(trace.tracks.at(entry.second));
  if (spans.tracks.empty()) {
    return Heading("Timeline") + "<p>timeline.json has no events of chip 0 to show.</p>\n";
  }
  Svg svg(kWidth, SpansHeight(spans, kWidth));
  DrawSpans(svg, kWidth, spans);
  const std::string more =
      left > 0 ? absl::StrCat("<p>", left, " more queues are busy in these cycles.</p>\n") : "";
  return absl::StrCat(Heading("Timeline, the first cycles"), svg.Finish(), more);
}

std::string ComparisonSection(const std::string& csv) {
  const auto rows = Cells(csv,
                          "collective,bytes,lockstep_time_us,lockstep_algbw_GBps,"
                          "lockstep_busbw_GBps,baseline_time_us,baseline_algbw_GBps,"
                          "baseline_busbw_GBps");
  std::string out = Heading("Comparison");
  for (size_t first = 0; first < rows.size();) {
    size_t last = first;
    while (last < rows.size() && rows[last][0] == rows[first][0]) ++last;
    out += OneComparison({rows.begin() + static_cast<std::ptrdiff_t>(first),
                          rows.begin() + static_cast<std::ptrdiff_t>(last)});
    first = last;
  }
  return rows.empty() ? out + "<p>report.csv has no sizes to show.</p>\n" : out;
}

}  // namespace lockstep
