// Tracks one below the other, then the legend (runtime/pages/spans.h).
#include "runtime/pages/spans.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "fabric/counted.h"

namespace lockstep {
namespace {

using Anchor = Svg::Anchor;
constexpr double kLetter = 6.2;  // width of a letter of 11, for room
constexpr double kTop = 26, kAxis = 40, kLegendLine = 18;
constexpr double kFullTrack = 20, kThinTrack = 4, kManyTracks = 960;  // height of one; of thin ones
constexpr double kNamedTrack = 12;                                    // room for a name
constexpr size_t kMostNames = 60, kMostLetters = 40;

std::string Shortened(const std::string& name) {
  return name.size() <= kMostLetters ? name : name.substr(0, kMostLetters) + "...";
}

struct LegendEntry {
  std::string name;
  double x = 0;  // from the plot's left edge
  int line = 0;
};

// Where everything is.
class Layout {
 public:
  Layout(const Spans& spans, double width) {
    size_t letters = 4;
    for (const Track& t : spans.tracks) letters = std::max(letters, Shortened(t.name).size());
    const double left = 14 + kLetter * static_cast<double>(letters);
    const double tracks = static_cast<double>(spans.tracks.size());
    track = std::clamp(kManyTracks / std::max(1.0, tracks), kThinTrack, kFullTrack);
    plot = {left, kTop, width - left - 16, track * tracks};
    scale = plot.width / static_cast<double>(std::max<int64_t>(1, spans.to - spans.from));
    double x = 0;
    int line = 0;
    for (const Track& t : spans.tracks) {
      for (const Span& s : t.spans) {
        if (s.first >= spans.to || s.last < spans.from) continue;
        if (legend.size() == kMostNames || !colours.emplace(s.name, legend.size()).second) continue;
        const std::string name = Shortened(s.name);
        const double room = 28 + kLetter * static_cast<double>(name.size());
        if (x > 0 && x + room > plot.width) x = 0, ++line;
        legend.push_back({name, x, line});
        x += room;
      }
    }
    height = plot.y + plot.height + kAxis + kLegendLine * (line + 1) + 10;
  }

  std::string ColourOf(const std::string& name) const {
    const auto found = colours.find(name);
    return found == colours.end() ? "#aaaaaa" : SeriesColour(found->second);
  }

  Box plot;
  double track, scale, height;
  std::map<std::string, size_t> colours;  // by name, in the order of appearance
  std::vector<LegendEntry> legend;
};

void DrawTracks(Svg& svg, const Layout& layout, const Spans& spans) {
  const Box& plot = layout.plot;
  const size_t named = layout.track >= kNamedTrack
                           ? 1 : static_cast<size_t>(kNamedTrack / layout.track) + 1;
  const double gap = layout.track >= kNamedTrack ? 2 : 0.5;
  for (size_t i = 0; i < spans.tracks.size(); ++i) {
    const double top = plot.y + layout.track * static_cast<double>(i);
    if (i % named == 0) {
      svg.Text({plot.x - 6, top + layout.track / 2 + 4}, Shortened(spans.tracks[i].name),
               Anchor::kEnd);
    }
    for (const Span& s : spans.tracks[i].spans) {
      const int64_t first = std::max(s.first, spans.from), last = std::min(s.last, spans.to - 1);
      if (first > last) continue;
      svg.Rect({plot.x + static_cast<double>(first - spans.from) * layout.scale, top + gap,
                std::max(0.5, static_cast<double>(last - first + 1) * layout.scale),
                layout.track - 2 * gap},
               layout.ColourOf(s.name),
               absl::StrFormat("%s: cycles %d to %d", s.name, s.first, s.last));
    }
  }
}

}  // namespace

double SpansHeight(const Spans& spans, double width) { return Layout(spans, width).height; }

void DrawSpans(Svg& svg, double width, const Spans& spans) {
  const Layout layout(spans, width);
  const Box& plot = layout.plot;
  svg.Text({plot.x + plot.width / 2, plot.y - 8}, spans.title, Anchor::kMiddle, 13);
  DrawTracks(svg, layout, spans);
  svg.Frame(plot, "#333333");
  const double below = plot.y + plot.height;
  for (int i = 0; i <= 4; ++i) {
    svg.Text({plot.x + plot.width * i / 4, below + 15},
             Grouped(spans.from + (spans.to - spans.from) * i / 4),
             i == 0 ? Anchor::kStart : i == 4 ? Anchor::kEnd : Anchor::kMiddle);
  }
  svg.Text({plot.x + plot.width / 2, below + 32}, "cycles", Anchor::kMiddle);
  for (const LegendEntry& entry : layout.legend) {
    const double top = below + kAxis + kLegendLine * entry.line;
    svg.Rect({plot.x + entry.x, top, 12, 12}, layout.ColourOf(entry.name));
    svg.Text({plot.x + entry.x + 16, top + 10}, entry.name);
  }
}

}  // namespace lockstep
