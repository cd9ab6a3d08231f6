// Two charts side by side (runtime/comparison/compare_picture.h).
#include "runtime/comparison/compare_picture.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "runtime/pages/chart.h"

namespace lockstep {
namespace {

constexpr double kWidth = 940, kHeight = 400;

// Busbw, or with `channel` its percentage of that, by size.
Series CurveOf(const std::vector<ComparedSize>& rows, bool ours, double channel,
               const std::string& label) {
  Series series{label, {}};
  for (const ComparedSize& row : rows) {
    const BandwidthPoint& p = ours ? row.lockstep->point : row.baseline.point;
    series.points.push_back({static_cast<double>(p.bytes),
                             channel > 0 ? 100 * p.busbw / channel : p.busbw});
  }
  std::sort(series.points.begin(), series.points.end(),
            [](const Point& a, const Point& b) { return a.x < b.x; });
  return series;
}

// The two charts of one collective.
std::pair<Chart, Chart> ChartsOf(const Comparison& comparison, const Channels& channels,
                                 const std::string& baseline) {
  const std::vector<ComparedSize>& rows = comparison.rows;
  LOCKSTEP_CHECK(!rows.empty(), "no sizes");
  const std::string ours = "chips of this topology, executed", theirs = "GPUs of " + baseline;
  const std::string name(Name(comparison.collective));
  Chart absolute{name + ": bus bandwidth", "message, bytes", "GB/s", true, {}};
  Chart share{name + ": share of channels", "message, bytes", "bus bandwidth, % of channels",
              false, {}};
  if (rows.front().lockstep) {
    absolute.series.push_back(CurveOf(rows, true, 0, ours));
    share.series.push_back(CurveOf(rows, true, channels.lockstep,
                                   absl::StrFormat("%s, of %.1f GB/s", ours, channels.lockstep)));
  }
  absolute.series.push_back(CurveOf(rows, false, 0, theirs + " under NCCL, simulated"));
  share.series.push_back(CurveOf(rows, false, channels.baseline,
                                 absl::StrFormat("%s, of %.1f GB/s", theirs, channels.baseline)));
  return {std::move(absolute), std::move(share)};
}

}  // namespace

std::string ComparePicture(const std::vector<Comparison>& comparisons, const Channels& channels,
                           const std::string& baseline) {
  Svg svg(kWidth, kHeight * static_cast<double>(comparisons.size()));
  double top = 0;
  for (const Comparison& comparison : comparisons) {
    const auto charts = ChartsOf(comparison, channels, baseline);
    DrawChart(svg, {0, top, kWidth / 2, kHeight}, charts.first);
    DrawChart(svg, {kWidth / 2, top, kWidth / 2, kHeight}, charts.second);
    top += kHeight;
  }
  return svg.Finish();
}

}  // namespace lockstep
