#pragma once
// A matrix of shares as coloured cells, on an Svg.

#include <string>
#include <vector>

#include "runtime/pages/svg.h"

namespace lockstep {

// Shares 0..1, negative: nothing there (grey). Lines part groups of `group` rows and columns; 0: none.
struct HeatMap {
  std::string title, x_label, y_label, unit;  // unit: of the scale, such as "% busy"
  int size = 0;                               // rows and columns
  int group = 0;
  std::vector<double> shares;  // size * size, row by row
  double most = 1;             // share of the darkest colour, above 0
};

// Large enough to read few cells, and no larger than needed.
double HeatMapHeight(const HeatMap& map);
void DrawHeatMap(Svg& svg, const Box& box, const HeatMap& map);

}  // namespace lockstep
