// Both sides of a comparison and its tables (runtime/comparison/compare.h).
#include "runtime/comparison/compare.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "runtime/comparison/message_sizes.h"

namespace lockstep {
namespace {

CollectiveKind KindOf(nccl::Operation operation) {
  switch (operation) {
    case nccl::Operation::kAllReduce:
      return CollectiveKind::kAllReduce;
    case nccl::Operation::kAllGather:
      return CollectiveKind::kAllGather;
    case nccl::Operation::kReduceScatter:
      return CollectiveKind::kReduceScatter;
    case nccl::Operation::kBroadcast:
      return CollectiveKind::kBroadcast;
    case nccl::Operation::kAllToAll:
      return CollectiveKind::kAllToAll;
    case nccl::Operation::kSendRecv:
      break;
  }
  return CollectiveKind::kSendRecv;
}

std::string CsvFields(const BandwidthPoint* p) {
  if (p == nullptr) return ",,,";
  return absl::StrFormat(",%.3f,%.6g,%.6g", p->time_us, p->algbw, p->busbw);
}

std::string PointColumns(const BandwidthPoint& p) {
  return absl::StrFormat(" %12.2f %8.2f %8.2f", p.time_us, p.algbw, p.busbw);
}

double Ratio(const ComparedSize& row) {
  return row.lockstep->point.busbw / row.baseline.point.busbw;
}

// Share of the channels that the busbw is, of either side.
double OursShare(const ComparedSize& row, const Channels& c) {
  return row.lockstep->point.busbw / c.lockstep;
}
double TheirShare(const ComparedSize& row, const Channels& c) {
  return row.baseline.point.busbw / c.baseline;
}
double Normalised(const ComparedSize& row, const Channels& c) {
  return OursShare(row, c) / TheirShare(row, c);
}

// "8 .. 4M, 16M" of the sizes that satisfy `in`.
template <typename Predicate>
std::string SizesWhere(const std::vector<ComparedSize>& rows, Predicate in) {
  std::string text;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!in(rows[i])) continue;
    size_t last = i;
    while (last + 1 < rows.size() && in(rows[last + 1])) ++last;
    absl::StrAppend(&text, text.empty() ? "" : ", ", MessageSizeText(rows[i].baseline.point.bytes));
    if (last > i) {
      absl::StrAppend(&text, " to ", MessageSizeText(rows[last].baseline.point.bytes));
    }
    i = last;
  }
  return text.empty() ? "none" : text;
}

}  // namespace

absl::StatusOr<double> LockstepSide::TimeUs(int64_t bytes, bool with_values) {
  const auto known = time_us_.find(bytes);
  if (known != time_us_.end()) return known->second;
  CollectiveRequest request;
  request.kind = KindOf(collective_);
  request.bytes = bytes;
  ASSIGN_OR_RETURN(const CollectiveOutcome timing, RunCollective(topology_, request));
  if (with_values) {
    request.engine = EngineKind::kFunctional;
    ASSIGN_OR_RETURN(const CollectiveOutcome values, RunCollective(topology_, request));
    if (values.cycles != timing.cycles || values.timing_digest != timing.timing_digest) {
      return absl::InternalError(absl::StrCat("engines disagree on ", bytes, " B"));
    }
  }
  return time_us_[bytes] = timing.Microseconds();
}

absl::StatusOr<LockstepPoint> LockstepSide::Run(int64_t bytes) {
  LockstepPoint result;
  result.values_checked = bytes <= checked_bytes_;
  const int64_t full = bytes / round_bytes_, rest = bytes % round_bytes_;
  double us = 0;
  if (full > 0) {
    ASSIGN_OR_RETURN(const double round, TimeUs(round_bytes_, false));
    us += static_cast<double>(full) * round;
  }
  if (rest > 0) {
    ASSIGN_OR_RETURN(const double last, TimeUs(rest, result.values_checked));
    us += last;
  }
  result.rounds = full + (rest > 0 ? 1 : 0);
  result.point = MakePoint(collective_, bytes, topology_.num_chips(), us);
  return result;
}

double ChannelGbPerS(const Topology& topology) {
  const size_t links = topology.outgoing(ChipId(0)).size();
  return static_cast<double>(links) *
         static_cast<double>(topology.spec().link.MegabytesPerSecond()) / 1e3;
}

std::string CompareTable(nccl::Operation collective, const std::vector<ComparedSize>& rows,
                         const Channels& channels) {
  const bool both = !rows.empty() && rows.front().lockstep.has_value();
  const char* columns = "      time us    algbw    busbw";
  std::string text = absl::StrFormat("%s\n", Name(collective));
  if (both) {
    absl::StrAppendFormat(&text, "%12s %30s %30s\n", "", "lockstep", "baseline");
  }
  absl::StrAppendFormat(&text, "%12s%s%s", "bytes", both ? columns : "", columns);
  text += both ? "    ratio  per channel   pins %   pins %  rounds" : "";
  text += "  NCCL runs\n";
  for (const ComparedSize& row : rows) {
    absl::StrAppendFormat(&text, "%12d", row.baseline.point.bytes);
    if (both) text += PointColumns(row.lockstep->point);
    text += PointColumns(row.baseline.point);
    if (both) {
      absl::StrAppendFormat(&text, " %8.3f %12.3f %8.2f %8.2f %6d%s", Ratio(row),
                            Normalised(row, channels), 100 * OursShare(row, channels),
                            100 * TheirShare(row, channels), row.lockstep->rounds,
                            row.lockstep->values_checked ? "v" : " ");
    }
    absl::StrAppend(&text, "  ", ChoiceText(row.baseline.choice), "\n");
  }
  return text;
}

std::string CompareSummary(const std::vector<ComparedSize>& rows, const Channels& channels) {
  const ComparedSize& last = rows.back();
  std::string text = absl::StrFormat(
      "\nChannels each way: %.1f GB/s a chip, %.1f GB/s a GPU: %.2f times as much.\n",
      channels.lockstep, channels.baseline, channels.baseline / channels.lockstep);
  absl::StrAppend(&text, "Ours is faster at: ",
                  SizesWhere(rows, [](const ComparedSize& r) { return Ratio(r) > 1; }), "\n");
  absl::StrAppend(
      &text, "Per channel bandwidth ours is ahead at: ",
      SizesWhere(rows, [&](const ComparedSize& r) { return Normalised(r, channels) > 1; }), "\n");
  absl::StrAppendFormat(
      &text,
      "To deliver what ours does, the baseline needs `per channel` times our "
      "channel bandwidth.\nAbout 3 (2.5 to 3.5) at: %s; above 3.5 at: %s; %.2f at "
      "%s.\n",
      SizesWhere(rows,
                 [&](const ComparedSize& r) {
                   return Normalised(r, channels) >= 2.5 && Normalised(r, channels) <= 3.5;
                 }),
      SizesWhere(rows, [&](const ComparedSize& r) { return Normalised(r, channels) > 3.5; }),
      Normalised(last, channels), MessageSizeText(last.baseline.point.bytes));
  return absl::StrCat(text,
                      "rounds: executed once each kind, counted as often as they occur; v: "
                      "values checked.\n");
}

std::string CompareCsv(const std::vector<Comparison>& comparisons) {
  std::string text =
      "collective,bytes,lockstep_time_us,lockstep_algbw_GBps,lockstep_busbw_GBps,"
      "baseline_time_us,baseline_algbw_GBps,baseline_busbw_GBps\n";
  for (const Comparison& comparison : comparisons) {
    for (const ComparedSize& row : comparison.rows) {
      absl::StrAppend(&text, Name(comparison.collective), ",", row.baseline.point.bytes,
                      CsvFields(row.lockstep ? &row.lockstep->point : nullptr),
                      CsvFields(&row.baseline.point), "\n");
    }
  }
  return text;
}

}  // namespace lockstep
