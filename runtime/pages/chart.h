#pragma once
// Charts on an Svg: curves over an axis of sizes, heat maps, bars of spans over cycles.

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/pages/svg.h"

namespace lockstep {

// 4096 -> "4K"; 0.25 -> "0.25"; for labels. Binary suffixes.
std::string SizeLabel(double value);

struct Series {
  std::string label;
  std::vector<Point> points;  // x ascending
};

// Curves over x on a logarithmic axis (binary), y linear from 0 or logarithmic (decimal). Points
// that such an axis cannot show (x <= 0; y <= 0 on a logarithmic one) are left out.
struct Chart {
  std::string title, x_label, y_label;
  bool log_y = false;
  std::vector<Series> series;
};
void DrawChart(Svg& svg, const Box& box, const Chart& chart);

// A matrix of shares 0..1, negative: nothing there (grey). Lines part groups of `group` rows and
// columns; 0: none.
struct HeatMap {
  std::string title, x_label, y_label, unit;  // unit: of the scale, such as "% busy"
  int size = 0;                               // rows and columns
  int group = 0;
  std::vector<double> shares;  // size * size, row by row
  double most = 1;             // share of the darkest colour, above 0
};
void DrawHeatMap(Svg& svg, const Box& box, const HeatMap& map);

// Tracks of spans between two cycles.
struct Span {
  std::string name;
  int64_t first = 0, last = 0;  // cycles, inclusive
};
struct Track {
  std::string name;
  std::vector<Span> spans;
};
struct Spans {
  std::string title;
  int64_t from = 0, to = 1;  // cycles shown
  std::vector<Track> tracks;
};
double SpansHeight(const Spans& spans);
// Names are coloured alike in all tracks, and explained below.
void DrawSpans(Svg& svg, const Box& box, const Spans& spans);

}  // namespace lockstep
