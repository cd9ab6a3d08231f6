#pragma once
// Curves over an axis of sizes, on an Svg.

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

}  // namespace lockstep
