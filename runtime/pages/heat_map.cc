// Cells, their axes and the scale of colours (runtime/pages/heat_map.h).
#include "runtime/pages/heat_map.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lockstep {
namespace {

using Anchor = Svg::Anchor;
constexpr char kNothing[] = "#eeeeee", kGrid[] = "#999999";
constexpr double kAround = 76, kBeside = 150;  // titles, labels, scale
constexpr double kCell = 44, kMostSide = 620;
constexpr int kMostLabels = 16;

void DrawCells(Svg& svg, const Box& plot, const HeatMap& map) {
  const double cell = plot.width / std::max(1, map.size);
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
    svg.Line({plot.x + i * cell, plot.y}, {plot.x + i * cell, plot.y + plot.height}, kGrid);
    svg.Line({plot.x, plot.y + i * cell}, {plot.x + plot.width, plot.y + i * cell}, kGrid);
  }
}

// Each row and column where there is room, else the first of each group, or of some groups.
void DrawLabels(Svg& svg, const Box& plot, const HeatMap& map) {
  const double cell = plot.width / std::max(1, map.size);
  int step = map.size <= kMostLabels ? 1 : std::max(1, map.group);
  step *= std::max(1, (map.size / step + kMostLabels - 1) / kMostLabels);
  for (int i = 0; i < map.size; i += step) {
    svg.Text({plot.x + (i + 0.5) * cell, plot.y + plot.height + 14}, absl::StrCat(i),
             Anchor::kMiddle, 9);
    svg.Text({plot.x - 4, plot.y + (i + 0.5) * cell + 3}, absl::StrCat(i), Anchor::kEnd, 9);
  }
  svg.Text({plot.x + plot.width / 2, plot.y - 8}, map.title, Anchor::kMiddle, 13);
  svg.Text({plot.x + plot.width / 2, plot.y + plot.height + 32}, map.x_label, Anchor::kMiddle);
  svg.Text({plot.x - 36, plot.y + plot.height / 2}, map.y_label, Anchor::kMiddle, 11, true);
}

void DrawScale(Svg& svg, const Box& plot, const HeatMap& map) {
  constexpr int kSteps = 24;
  const double left = plot.x + plot.width + 18, step = plot.height / kSteps;
  for (int i = 0; i < kSteps; ++i) {
    svg.Rect({left, plot.y + plot.height - (i + 1) * step, 14, step + 0.5},
             HeatColour((i + 0.5) / kSteps));
  }
  for (int i = 0; i <= 4; ++i) {
    svg.Text({left + 20, plot.y + plot.height - plot.height * i / 4 + 4},
             absl::StrFormat("%.3g", 100 * map.most * i / 4));
  }
  svg.Text({left + 48, plot.y + plot.height / 2}, map.unit, Anchor::kMiddle, 11, true);
}

}  // namespace

double HeatMapHeight(const HeatMap& map) {
  return kAround + std::clamp(kCell * map.size, 4 * kCell, kMostSide);
}

void DrawHeatMap(Svg& svg, const Box& box, const HeatMap& map) {
  const double side = std::min(box.width - kBeside, box.height - kAround);
  const Box plot = {box.x + 52, box.y + 26, side, side};
  DrawCells(svg, plot, map);
  DrawLabels(svg, plot, map);
  DrawScale(svg, plot, map);
}

}  // namespace lockstep
