// Axes and marks (runtime/pages/chart.h).
#include "runtime/pages/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/files/portable_math.h"

namespace lockstep {
namespace {

using Anchor = Svg::Anchor;
constexpr char kGrid[] = "#dddddd", kInk[] = "#333333", kNothing[] = "#eeeeee";
constexpr double kLetter = 6.2;  // width of a letter of 11, for room

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

void DrawHeatMap(Svg& svg, const Box& box, const HeatMap& map) {
  const double side = std::min(box.width - 150, box.height - 76);
  const Box plot = {box.x + 52, box.y + 26, side, side};
  const double cell = side / std::max(1, map.size);
  svg.Rect(plot, kNothing);
  for (int row = 0; row < map.size; ++row) {
    for (int column = 0; column < map.size; ++column) {
      const double share = map.shares[static_cast<size_t>(row) * map.size + column];
      if (share < 0) continue;
      svg.Rect({plot.x + column * cell, plot.y + row * cell, cell, cell},
               HeatColour(share / map.most),
               absl::StrFormat("%d to %d: %.2f %s", row, column, 100 * share, map.unit));
    }
  }
  const int group = map.group > 0 ? map.group : map.size;
  for (int i = 0; group > 0 && i <= map.size; i += group) {
    svg.Line({plot.x + i * cell, plot.y}, {plot.x + i * cell, plot.y + side}, "#999999");
    svg.Line({plot.x, plot.y + i * cell}, {plot.x + side, plot.y + i * cell}, "#999999");
    if (i == map.size) break;
    svg.Text({plot.x + (i + 0.5) * cell, plot.y + side + 14}, absl::StrCat(i), Anchor::kMiddle, 9);
    svg.Text({plot.x - 4, plot.y + (i + 0.5) * cell + 3}, absl::StrCat(i), Anchor::kEnd, 9);
  }
  svg.Text({plot.x + side / 2, plot.y - 8}, map.title, Anchor::kMiddle, 13);
  svg.Text({plot.x + side / 2, plot.y + side + 32}, map.x_label, Anchor::kMiddle);
  svg.Text({plot.x - 36, plot.y + side / 2}, map.y_label, Anchor::kMiddle, 11, true);
  constexpr int kSteps = 24;
  const double left = plot.x + side + 18, step = side / kSteps;
  for (int i = 0; i < kSteps; ++i) {
    svg.Rect({left, plot.y + side - (i + 1) * step, 14, step + 0.5},
             HeatColour((i + 0.5) / kSteps));
  }
  for (int i = 0; i <= 4; ++i) {
    svg.Text({left + 20, plot.y + side - side * i / 4 + 4},
             absl::StrFormat("%.3g", 100 * map.most * i / 4));
  }
  svg.Text({left, plot.y - 8}, map.unit);
}

double SpansHeight(const Spans& spans) {
  return 96 + 20.0 * static_cast<double>(spans.tracks.size());
}

void DrawSpans(Svg& svg, const Box& box, const Spans& spans) {
  size_t letters = 4;
  for (const Track& t : spans.tracks) letters = std::max(letters, t.name.size());
  const double left = 14 + kLetter * static_cast<double>(letters);
  const Box plot = {box.x + left, box.y + 26, box.width - left - 16,
                    20.0 * static_cast<double>(spans.tracks.size())};
  const double scale = plot.width / static_cast<double>(std::max<int64_t>(1, spans.to - spans.from));
  std::map<std::string, size_t> colours;  // by name, in the order of appearance
  std::vector<std::string> names;
  svg.Text({plot.x + plot.width / 2, plot.y - 8}, spans.title, Anchor::kMiddle, 13);
  for (size_t i = 0; i < spans.tracks.size(); ++i) {
    const double top = plot.y + 20.0 * static_cast<double>(i);
    svg.Text({plot.x - 6, top + 14}, spans.tracks[i].name, Anchor::kEnd);
    for (const Span& s : spans.tracks[i].spans) {
      const int64_t first = std::max(s.first, spans.from), last = std::min(s.last, spans.to - 1);
      if (first > last) continue;
      const auto [colour, added] = colours.emplace(s.name, colours.size());
      if (added) names.push_back(s.name);
      svg.Rect({plot.x + static_cast<double>(first - spans.from) * scale, top + 2,
                std::max(0.5, static_cast<double>(last - first + 1) * scale), 16},
               SeriesColour(colour->second),
               absl::StrFormat("%s: cycles %d to %d", s.name, s.first, s.last));
    }
  }
  svg.Frame(plot, kInk);
  const double below = plot.y + plot.height;
  for (int i = 0; i <= 4; ++i) {
    svg.Text({plot.x + plot.width * i / 4, below + 15},
             absl::StrCat(spans.from + (spans.to - spans.from) * i / 4),
             i == 0 ? Anchor::kStart : i == 4 ? Anchor::kEnd : Anchor::kMiddle);
  }
  svg.Text({plot.x + plot.width / 2, below + 32}, "cycles", Anchor::kMiddle);
  double x = plot.x;
  for (size_t i = 0; i < names.size(); ++i) {
    const double width = 28 + kLetter * static_cast<double>(names[i].size());
    if (x + width > plot.x + plot.width) break;
    svg.Rect({x, below + 44, 12, 12}, SeriesColour(i));
    svg.Text({x + 16, below + 54}, names[i]);
    x += width;
  }
}

}  // namespace lockstep
