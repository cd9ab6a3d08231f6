// Reports as tables and bars (runtime/pages/page_parts.h).
#include "runtime/pages/page_parts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "fabric/counted.h"
#include "runtime/pages/spans.h"

namespace lockstep {
namespace {

constexpr double kWidth = 920;
constexpr int kMostTracks = 240;

const PageJson* At(const PageJson& json, const std::string& path) {
  const PageJson* at = &json;
  for (const absl::string_view part : absl::StrSplit(path, '.')) {
    const std::string key(part);
    if (!at->is_object() || !at->contains(key)) return nullptr;
    at = &(*at)[key];
  }
  return at;
}

double NumberAt(const PageJson& json, const std::string& path) {
  const PageJson* at = At(json, path);
  return at != nullptr && at->is_number() ? at->get<double>() : 0;
}

// 0 for what is no number from 0 to what a double holds.
int64_t CountAt(const PageJson& json, const std::string& path) {
  const double value = NumberAt(json, path);
  return value >= 0 && value < 9e15 ? static_cast<int64_t>(value) : 0;
}

// Parts of a whole as one bar with a legend; `rest`: what the parts leave of `whole`.
std::string SharesBar(const std::vector<std::pair<std::string, double>>& parts, double whole,
                      const char* unit) {
  Svg svg(kWidth, 84);
  double x = 10, at = 10;
  for (size_t i = 0; i < parts.size(); ++i) {
    const double share = whole > 0 ? std::clamp(parts[i].second / whole, 0.0, 1.0) : 0;
    const std::string text = absl::StrFormat("%s %.1f %%", parts[i].first, 100 * share);
    svg.Rect({x, 10, share * (kWidth - 20), 26}, SeriesColour(i),
             absl::StrFormat("%s: %.6g %s", parts[i].first, parts[i].second, unit));
    x += share * (kWidth - 20);
    svg.Rect({at, 54, 12, 12}, SeriesColour(i));
    svg.Text({at + 16, 64}, text);
    at += 36 + 6.2 * static_cast<double>(text.size());
  }
  svg.Frame({10, 10, kWidth - 20, 26}, "#333333");
  return svg.Finish();
}

// The numbers of an object as parts.
std::vector<std::pair<std::string, double>> PartsOf(const PageJson* object,
                                                    const std::vector<std::string>& without) {
  std::vector<std::pair<std::string, double>> parts;
  if (object == nullptr || !object->is_object()) return parts;
  for (const auto& [name, value] : object->items()) {
    if (!value.is_number() ||
        std::find(without.begin(), without.end(), name) != without.end()) {
      continue;
    }
    parts.emplace_back(name == "kv_cache" ? "KV cache" : name, value.get<double>());
  }
  return parts;
}

struct Figure {
  const char *name, *path;
};

std::string FigureTable(const PageJson& report, absl::Span<const Figure> figures) {
  std::vector<std::vector<std::string>> rows = {{"", ""}};
  for (const Figure& f : figures) rows.push_back({f.name, FigureText(report, f.path)});
  return HtmlTable(rows);
}

// [first, end) as "0 to 1"; empty for an empty or no range.
std::string RangeText(const PageJson* range) {
  if (range == nullptr || !range->is_array() || range->size() != 2) return "";
  const PageJson &first = (*range)[0], &end = (*range)[1];
  if (!IsWhole(first) || !IsWhole(end) || !(first < end)) return "";
  return absl::StrCat(Grouped(first.get<int64_t>()), " to ", Grouped(end.get<int64_t>() - 1));
}

// Programs of a step, a track a stage.
std::string StagesPicture(const PageJson& programs, int64_t cycles) {
  Spans spans{"programs of one token's step, by stage", 0, cycles, {}};
  int64_t stages = 0;
  for (const PageJson& part : programs) {
    const int64_t stage = CountAt(part, "stage");
    stages = std::max(stages, stage + 1);
    if (stage >= kMostTracks) continue;
    while (static_cast<int64_t>(spans.tracks.size()) <= stage) {
      spans.tracks.push_back({absl::StrCat("stage ", spans.tracks.size()), {}});
    }
    const std::string name = JsonText(part, "embedding") == "true" ? "with embedding"
                             : JsonText(part, "head") == "true"    ? "with head"
                                                                   : "layers";
    spans.tracks[stage].spans.push_back(
        {name, CountAt(part, "start_cycle"), CountAt(part, "end_cycle") - 1});
  }
  if (spans.tracks.size() < 2) return "";
  Svg svg(kWidth, SpansHeight(spans, kWidth));
  DrawSpans(svg, kWidth, spans);
  const std::string more =
      stages > kMostTracks
          ? absl::StrCat("<p>The first ", kMostTracks, " of ", stages, " stages.</p>\n") : "";
  return Heading("Pipeline") + svg.Finish() + more;
}

}  // namespace

std::string JsonText(const PageJson& json, const std::string& path) {
  const PageJson* at = At(json, path);
  if (at == nullptr || at->is_null()) return "";
  if (at->is_string()) return at->get<std::string>();
  if (at->is_number_float()) return absl::StrFormat("%.6g", at->get<double>());
  // Lists of plain values, such as a range of layers; nothing deeper.
  const bool deep = at->is_structured() &&
                    std::any_of(at->begin(), at->end(),
                                [](const PageJson& value) { return value.is_structured(); });
  return deep ? "" : at->dump(-1, ' ', false, PageJson::error_handler_t::replace);
}

bool IsWhole(const PageJson& value) {
  return value.is_number_integer() && value.get<double>() >= 0 && value.get<double>() < 9e15;
}

std::string FigureText(const PageJson& json, const std::string& path) {
  const PageJson* at = At(json, path);
  return at != nullptr && IsWhole(*at) ? Grouped(at->get<int64_t>()) : JsonText(json, path);
}

std::string Heading(const char* text) { return absl::StrCat("<h3>", text, "</h3>\n"); }

std::string HtmlTable(const std::vector<std::vector<std::string>>& rows) {
  std::string out = "<table>\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    const bool empty = std::all_of(rows[i].begin(), rows[i].end(),
                                   [](const std::string& cell) { return cell.empty(); });
    if (i == 0 && empty) continue;
    out += "<tr>";
    for (const std::string& cell : rows[i]) {
      absl::StrAppend(&out, i == 0 ? "<th>" : "<td>", Escaped(cell), i == 0 ? "</th>" : "</td>");
    }
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

std::string RunSections(const PageJson& report) {
  static constexpr Figure kPlan[] = {
      {"model", "model.model"},          {"parameters", "model.parameters"},
      {"topology", "machine.topology"},  {"partition", "machine.partition"},
      {"stages", "machine.stages"},      {"chips", "machine.chips"},
      {"weights", "plan.weights"},       {"KV cache", "plan.kv_cache"},
      {"context", "plan.context"},       {"engine", "machine.engine"},
      {"hop latency", "machine.hop_latency.preset"},
      {"tokens/s/user", "emulated.tokens_per_second_per_user"},
      {"cycles a token", "emulated.cycles_per_token"},
      {"first token, us", "emulated.first_token_us"},
      {"digest of timing", "output.timing_digest"}};
  std::string out = Heading("Plan and figures") + FigureTable(report, kPlan);
  const PageJson* sram = At(report, "plan.sram_bytes_per_chip");
  out += Heading("SRAM of the fullest chip");
  out += SharesBar(PartsOf(sram, {"capacity", "used"}),
                   NumberAt(report, "plan.sram_bytes_per_chip.capacity"), "B");
  out += Heading("Where a token's cycles go");
  out += SharesBar(PartsOf(At(report, "emulated.cycles_by_work"), {}),
                   NumberAt(report, "emulated.cycles_per_token"), "cycles");
  const PageJson* programs = At(report, "emulated.programs");
  if (programs != nullptr && programs->is_array()) {
    out += StagesPicture(*programs, CountAt(report, "emulated.cycles_per_token"));
  }
  const std::string text = JsonText(report, "output.text");
  if (!text.empty()) absl::StrAppend(&out, Heading("Text"), "<pre>", Escaped(text), "</pre>\n");
  return out;
}

std::string PlanSections(const PageJson& report) {
  static constexpr Figure kPlan[] = {
      {"model", "model"},
      {"topology", "topology"},
      {"weights", "weights"},
      {"KV cache", "kv_cache"},
      {"context", "context"},
      {"chips", "chips"},
      {"chips of a stage", "tensor_parallel"},
      {"hop latency", "hop_latency"},
      {"bound: cycles a token", "bound.cycles_per_token_and_user"},
      {"compiled: cycles a token", "compiled.cycles_per_token"},
      {"digest", "digest"}};
  std::string out = Heading("Plan") + FigureTable(report, kPlan);
  const PageJson* stages = At(report, "stages");
  if (stages == nullptr || !stages->is_array()) return out;
  std::vector<std::vector<std::string>> rows = {{"node", "first chip", "layers", "SRAM used, B a chip", "free, B", "stream cycles",
           "cables to next"}};
  for (const PageJson& stage : *stages) {
    std::vector<std::string> row;
    for (const char* key : {"node", "first_chip", "layers", "sram_bytes_per_chip.total",
                            "sram_bytes_per_chip.free", "stream_cycles", "cables_to_next"}) {
      row.push_back(FigureText(stage, key));
    }
    row[2] = RangeText(At(stage, "layers"));
    rows.push_back(std::move(row));
  }
  return out + Heading("Stages") + HtmlTable(rows);
}

std::string CollectiveSection(const PageJson& report) {
  static constexpr Figure kFigures[] = {
      {"collective", "kind"},
      {"algorithm", "algorithm"},
      {"topology", "topology"},
      {"chips", "chips"},
      {"message, bytes", "bytes"},
      {"cycles", "cycles"},
      {"time, us", "time_us"},
      {"algorithm bandwidth, GB/s", "algbw_GBps"},
      {"bus bandwidth, GB/s", "busbw_GBps"},
      {"vectors over links", "vectors"},
      {"digest of timing", "timing_digest"}};
  return Heading("Figures") + FigureTable(report, kFigures);
}

}  // namespace lockstep
