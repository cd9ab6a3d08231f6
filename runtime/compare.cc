// Tables of compared collectives (runtime/compare.h).
#include "runtime/compare.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lockstep {
namespace {

std::string CsvFields(const std::optional<BandwidthPoint>& p) {
  if (!p) return ",,,";
  return absl::StrFormat(",%.3f,%.6g,%.6g", p->time_us, p->algbw, p->busbw);
}

std::string PointColumns(const BandwidthPoint& p) {
  return absl::StrFormat(" %12.2f %9.2f %9.2f", p.time_us, p.algbw, p.busbw);
}

}  // namespace

std::string CompareTable(nccl::Operation collective, const std::vector<ComparedSize>& rows) {
  const bool both = !rows.empty() && rows.front().lockstep.has_value();
  std::string text = absl::StrFormat("%s\n%12s", Name(collective), "bytes");
  const char* columns = "      time us     algbw     busbw";
  text += absl::StrCat(both ? columns : "", columns, "  NCCL runs\n");
  for (const ComparedSize& row : rows) {
    absl::StrAppendFormat(&text, "%12d", row.baseline.point.bytes);
    if (row.lockstep) text += PointColumns(*row.lockstep);
    absl::StrAppend(&text, PointColumns(row.baseline.point), "  ",
                    ChoiceText(row.baseline.choice), "\n");
  }
  return text;
}

std::string CompareCsv(nccl::Operation collective, const std::vector<ComparedSize>& rows) {
  std::string text =
      "collective,bytes,lockstep_time_us,lockstep_algbw_GBps,lockstep_busbw_GBps,"
      "baseline_time_us,baseline_algbw_GBps,baseline_busbw_GBps\n";
  for (const ComparedSize& row : rows) {
    absl::StrAppend(&text, Name(collective), ",", row.baseline.point.bytes,
                    CsvFields(row.lockstep), CsvFields(row.baseline.point), "\n");
  }
  return text;
}

}  // namespace lockstep
