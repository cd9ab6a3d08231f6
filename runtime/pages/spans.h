#pragma once
// Tracks of spans between two cycles, on an Svg:
//
//   mem0  [read      ]      [write]
//   vxm0        [add]  [add]
//         0                  1200  cycles
//         # read  # write  # add          names are coloured alike in all tracks

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/pages/svg.h"

namespace lockstep {

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

// Of a picture so wide. Many tracks are drawn thinner, and only some of them are named.
double SpansHeight(const Spans& spans, double width);
void DrawSpans(Svg& svg, double width, const Spans& spans);

}  // namespace lockstep
