// Order, verdicts and printing of the validation rows (runtime/validation/validate.h).
#include "runtime/validation/validate.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "chip/check.h"
#include "runtime/validation/validate_figures.h"

namespace lockstep {
namespace {

struct Entry {
  const char* id;
  std::function<absl::StatusOr<Rows>(const ValidationOptions&)> measure;
};

const std::vector<Entry>& Entries() {
  static const auto& entries = *new std::vector<Entry>{
      {"V1", ValidateSram},
      {"V2", ValidateMxmPeak},
      {"V3", ValidateStreamBandwidth},
      {"V4", ValidateWeightInstall},
      {"V5", ValidateBarrier},
      {"V6", ValidateEquation4},
      {"V7", ValidateMatmul},
      {"V8", ValidateTraffic},
      {"V10", ValidateFraming},
      {"V11", ValidateLinkTime},
      {"V12", ValidateHacLatency},
      {"V13", ValidateStart},
      {"V14", ValidateAlignment},
      {"V15", ValidateHops},
      {"V16", ValidateCables},
      {"V17", ValidateBandwidth},
      {"V18", ValidateBisection},
      {"V19", ValidateRackLatency},
      {"V20", ValidateStages},
      {"V21", ValidateSystemLatency},
      {"V22", ValidateSpreading},
      {"V23", ValidateAllReduce},
      {"V24", ValidateChannelRatio},
  };
  return entries;
}

int Count(const std::vector<ValidationRow>& rows, RowVerdict verdict) {
  return static_cast<int>(
      absl::c_count_if(rows, [verdict](const auto& row) { return row.verdict == verdict; }));
}

std::string Number(double value) {
  if (std::isnan(value)) return "-";
  const double rounded = std::round(value);
  if (value == rounded && std::abs(value) < 1e15) return absl::StrFormat("%.0f", value);
  return std::abs(value) < 100 ? absl::StrFormat("%.3f", value) : absl::StrFormat("%.1f", value);
}

}  // namespace

ValidationRow Judge(const Figure& f, double measured, std::string note) {
  const bool pass = measured >= f.low && measured <= f.high;
  return {f.id,
          f.what,
          f.figure_class,
          f.published,
          measured,
          f.unit,
          f.low,
          f.high,
          f.tolerance,
          f.origin,
          pass ? RowVerdict::kPass : RowVerdict::kFail,
          std::move(note)};
}

ValidationRow Unmeasured(const Figure& figure, std::string why) {
  return Judge(figure, std::numeric_limits<double>::quiet_NaN(), std::move(why));
}

ValidationRow OrContradiction(ValidationRow row) {
  if (row.verdict == RowVerdict::kFail && !std::isnan(row.measured)) {
    row.verdict = RowVerdict::kContradiction;
  }
  return row;
}

absl::string_view VerdictName(RowVerdict verdict) {
  switch (verdict) {
    case RowVerdict::kPass:
      return "pass";
    case RowVerdict::kFail:
      return "fail";
    case RowVerdict::kContradiction:
      return "contradiction";
  }
  return "";
}

std::vector<std::string> ValidationIds() {
  std::vector<std::string> ids;
  for (const Entry& entry : Entries()) ids.push_back(entry.id);
  return ids;
}

absl::StatusOr<std::vector<ValidationRow>> Validate(const ValidationOptions& options) {
  const std::vector<std::string> known = ValidationIds();
  for (const std::string& id : options.only) {
    if (absl::c_linear_search(known, id)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("no figure is called \"", id, "\"; there are ", absl::StrJoin(known, ", ")));
  }
  std::vector<ValidationRow> rows;
  for (const Entry& entry : Entries()) {
    if (!options.only.empty() && !absl::c_linear_search(options.only, entry.id)) continue;
    ASSIGN_OR_RETURN(const Rows more, entry.measure(options));
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

bool AnyFails(const std::vector<ValidationRow>& rows) { return Count(rows, RowVerdict::kFail) > 0; }

std::string MeasuredText(const ValidationRow& row) {
  return std::isnan(row.measured) ? "-" : absl::StrCat(Number(row.measured), " ", row.unit);
}

std::string ValidationTable(const std::vector<ValidationRow>& rows) {
  std::string out =
      "| Id | Figure | Class | Published | Measured | Tolerance | Origin | Verdict |\n";
  absl::StrAppend(&out, "|---|---|---|---|---|---|---|---|\n");
  std::string notes;
  for (const ValidationRow& r : rows) {
    absl::StrAppend(&out, "| ", r.id, " | ", r.what, " | ",
                    std::string(1, static_cast<char>(r.figure_class)), " | ", r.published, " | ",
                    MeasuredText(r), " | ", r.tolerance, " | ", r.origin, " | ",
                    VerdictName(r.verdict), " |\n");
    if (!r.note.empty()) absl::StrAppend(&notes, "- ", r.id, ", ", r.what, ": ", r.note, "\n");
  }
  if (!notes.empty()) absl::StrAppend(&out, "\n", notes);
  absl::StrAppend(&out, "\n", rows.size(), " figures: ", Count(rows, RowVerdict::kPass), " pass, ",
                  Count(rows, RowVerdict::kContradiction), " contradiction, ",
                  Count(rows, RowVerdict::kFail), " fail\n");
  return out;
}

std::string ValidationJson(const std::vector<ValidationRow>& rows) {
  nlohmann::ordered_json figures = nlohmann::ordered_json::array();
  for (const ValidationRow& r : rows) {
    nlohmann::ordered_json measured;  // null for NaN
    if (!std::isnan(r.measured)) measured = r.measured;
    figures.push_back({{"id", r.id},
                       {"what", r.what},
                       {"class", std::string(1, static_cast<char>(r.figure_class))},
                       {"published", r.published},
                       {"measured", measured},
                       {"unit", r.unit},
                       {"low", r.low},
                       {"high", r.high},
                       {"tolerance", r.tolerance},
                       {"origin", r.origin},
                       {"verdict", VerdictName(r.verdict)},
                       {"note", r.note}});
  }
  const nlohmann::ordered_json json = {{"figures", figures},
                                       {"pass", Count(rows, RowVerdict::kPass)},
                                       {"fail", Count(rows, RowVerdict::kFail)},
                                       {"contradiction", Count(rows, RowVerdict::kContradiction)}};
  return json.dump(2) + "\n";
}

std::string SensitivityTable(int percent, const std::vector<ValidationRow>& low,
                             const std::vector<ValidationRow>& nominal,
                             const std::vector<ValidationRow>& high) {
  LOCKSTEP_CHECK(low.size() == nominal.size() && high.size() == nominal.size(),
                 "a sweep of %d, %d and %d rows", low.size(), nominal.size(), high.size());
  std::string out = absl::StrFormat(
      "| Id | Figure | %d %% | 100 %% | %d %% | Verdicts | Depends on assumptions |\n"
      "|---|---|---|---|---|---|---|\n",
      100 - percent, 100 + percent);
  for (size_t i = 0; i < nominal.size(); ++i) {
    const std::string a = MeasuredText(low[i]), b = MeasuredText(nominal[i]);
    const std::string c = MeasuredText(high[i]);
    absl::StrAppend(&out, "| ", nominal[i].id, " | ", nominal[i].what, " | ", a, " | ", b, " | ", c,
                    " | ", VerdictName(low[i].verdict), ", ", VerdictName(nominal[i].verdict), ", ",
                    VerdictName(high[i].verdict), " | ", a == b && b == c ? "no" : "yes", " |\n");
  }
  return out;
}

}  // namespace lockstep
