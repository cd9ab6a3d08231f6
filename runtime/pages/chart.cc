// Axes and marks (runtime/pages/chart.h).
#include "runtime/pages/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"
#include "runtime/files/portable_math.h"

namespace lockstep {
namespace {

using Anchor = Svg::Anchor;
constexpr char kGrid[] = "#dddddd", kInk[] = "#333333";

struct Axis {
  double low = 0, high = 1;
  bool log = false;
  double at = 0, length = 1;  // pixels; negative length: upwards

  bool Shows(double v) const { return std::isfinite(v) && (!log || v > 0); }
  double Pixel(double v) const {
    const double share =
        log ? (Log(v) - Log(low)) / (Log(high) - Log(low)) : (v - low) / (high - low);
    return at + share * length;
  }
};

// The largest power of ten at or below `value`, above 0.
double PowerOfTen(double value) {
  double power = 1;
  while (power > value) power /= 10;
  while (power * 10 <= value) power *= 10;
  return power;
}

// 1, 2 or 5 times a power of ten, about a fifth of `range`.
double NiceStep(double range) {
  const double power = PowerOfTen(range / 5);
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (range / (power * factor) <= 6) return power * factor;
  }
  return power * 10;
}

Axis AxisOf(const Chart& chart, bool vertical) {
  Axis axis;
  axis.log = vertical ? chart.log_y : true;
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const Series& s : chart.series) {
    for (const Point& p : s.points) {
      const double v = vertical ? p.y : p.x;
      if (!axis.Shows(v)) continue;
      low = std::min(low, v), high = std::max(high, v);
    }
  }
  if (!(high > 0)) low = high = 1;
  axis.low = low, axis.high = high;
  if (!axis.log) {
    axis.low = 0, axis.high = std::ceil(high / NiceStep(high)) * NiceStep(high);
  } else if (vertical) {
    axis.low = PowerOfTen(low);
    axis.high = PowerOfTen(high) * 10;
  } else if (low == high) {
    axis.low = low / 2, axis.high = high * 2;
  }
  return axis;
}

// Powers of two for x, of ten for y, or even steps.
std::vector<double> TicksOf(const Axis& axis, bool vertical) {
  std::vector<double> ticks;
  if (!axis.log) {
    const double step = NiceStep(axis.high - axis.low);
    for (int i = 0; axis.low + i * step <= axis.high * (1 + 1e-9); ++i) {
      ticks.push_back(axis.low + i * step);
    }
    return ticks;
  }
  const double base = vertical ? 10 : 2;
  double tick = 1;
  while (tick > axis.low * (1 + 1e-9)) tick /= base;
  while (tick < axis.low * (1 - 1e-9)) tick *= base;
  for (; tick <= axis.high * (1 + 1e-9); tick *= base) ticks.push_back(tick);
  const size_t step = std::max<size_t>(1, (ticks.size() + 7) / 8);
  std::vector<double> shown;
  for (size_t i = 0; i < ticks.size(); i += step) shown.push_back(ticks[i]);
  return shown;
}

void DrawAxes(Svg& svg, const Box& plot, const Chart& chart, const Axis& x, const Axis& y) {
  for (const double tick : TicksOf(x, false)) {
    const double at = x.Pixel(tick);
    svg.Line({at, plot.y}, {at, plot.y + plot.height}, kGrid);
    svg.Text({at, plot.y + plot.height + 15}, SizeLabel(tick), Anchor::kMiddle);
  }
  for (const double tick : TicksOf(y, true)) {
    const double at = y.Pixel(tick);
    svg.Line({plot.x, at}, {plot.x + plot.width, at}, kGrid);
    svg.Text({plot.x - 6, at + 4}, absl::StrFormat("%g", tick), Anchor::kEnd);
  }
  svg.Frame(plot, kInk);
  svg.Text({plot.x + plot.width / 2, plot.y - 8}, chart.title, Anchor::kMiddle, 13);
  svg.Text({plot.x + plot.width / 2, plot.y + plot.height + 32}, chart.x_label, Anchor::kMiddle);
  svg.Text({plot.x - 46, plot.y + plot.height / 2}, chart.y_label, Anchor::kMiddle, 11, true);
}

}  // namespace

std::string SizeLabel(double value) {
  for (const char* suffix : {"", "K", "M", "G"}) {
    if (value < 1024 || *suffix == 'G') return absl::StrFormat("%g%s", value, suffix);
    value /= 1024;
  }
  return "";
}

void DrawChart(Svg& svg, const Box& box, const Chart& chart) {
  const double legend = 16.0 * static_cast<double>(chart.series.size());
  const Box plot = {box.x + 62, box.y + 26, box.width - 78, box.height - 72 - legend};
  Axis x = AxisOf(chart, false), y = AxisOf(chart, true);
  x.at = plot.x, x.length = plot.width;
  y.at = plot.y + plot.height, y.length = -plot.height;
  DrawAxes(svg, plot, chart, x, y);
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& s = chart.series[i];
    std::vector<Point> points;
    for (const Point& p : s.points) {
      if (x.Shows(p.x) && y.Shows(p.y)) points.push_back({x.Pixel(p.x), y.Pixel(p.y)});
    }
    svg.Polyline(points, SeriesColour(i));
    for (const Point& p : s.points) {
      if (!x.Shows(p.x) || !y.Shows(p.y)) continue;
      svg.Dot({x.Pixel(p.x), y.Pixel(p.y)}, SeriesColour(i),
              absl::StrFormat("%s: %s at %s", s.label, absl::StrFormat("%.4g", p.y),
                              SizeLabel(p.x)));
    }
    const double at = plot.y + plot.height + 50 + 16.0 * static_cast<double>(i);
    svg.Line({plot.x, at - 4}, {plot.x + 24, at - 4}, SeriesColour(i), 2);
    svg.Text({plot.x + 30, at}, s.label);
  }
}

}  // namespace lockstep
