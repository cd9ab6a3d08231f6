#pragma once
// Published figures of the machine against what the emulator measures when it runs programs.
//
//   figure function -> rows {published, measured, accepted range, origin} -> verdict -> table, JSON
//
// Nothing is fitted: a row's accepted range comes from the literature, its measured value from a
// run (or, where `what` says "computed", from arithmetic). Where published figures cannot all hold
// at once the row says `contradiction` and names both sides.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "chip/latency.h"

namespace lockstep {

// contradiction: published figures disagree, so the machine cannot meet all of them.
enum class RowVerdict : uint8_t { kPass, kFail, kContradiction };
absl::string_view VerdictName(RowVerdict verdict);

// What kind of figure: exact (structure), analytic (from parameters), measured by the makers of the
// machine, read off a published chart.
enum class FigureClass : char { kExact = 'E', kAnalytic = 'A', kMeasured = 'M', kChart = 'F' };

struct ValidationRow {
  std::string id;  // "V4"
  std::string what;
  FigureClass figure_class = FigureClass::kExact;
  std::string published;  // with its unit
  double measured = 0;    // NaN: nothing could be measured; the note says why
  std::string unit;
  double low = 0, high = 0;  // accepted: low <= measured <= high
  std::string tolerance;     // the same in words
  std::string origin;
  RowVerdict verdict = RowVerdict::kFail;
  std::string note;
};

struct ValidationOptions {
  ChipTiming timing = ChipTiming::Default();
  std::string topology_dir;       // holds groqnode.textproto and the others
  std::vector<std::string> only;  // figure ids; empty: all
};

// Ids that Validate() knows, in its order.
std::vector<std::string> ValidationIds();

// Rows of the figures asked for, in order of ValidationIds(). Errors: an unknown id, a topology
// that cannot be read. A program that faults is no error but a row that fails.
absl::StatusOr<std::vector<ValidationRow>> Validate(const ValidationOptions& options);

bool AnyFails(const std::vector<ValidationRow>& rows);

// `measured` as the table prints it; `-` for NaN.
std::string MeasuredText(const ValidationRow& row);
// Markdown: the table, the notes below it, a line that counts verdicts.
std::string ValidationTable(const std::vector<ValidationRow>& rows);
// {"figures": [{...}], "pass": n, "fail": n, "contradiction": n}
std::string ValidationJson(const std::vector<ValidationRow>& rows);
// Which rows move when assumed latencies do: measured at low, nominal and high.
// REQUIRES: three lists of the same rows.
std::string SensitivityTable(int percent, const std::vector<ValidationRow>& low,
                             const std::vector<ValidationRow>& nominal,
                             const std::vector<ValidationRow>& high);

}  // namespace lockstep
