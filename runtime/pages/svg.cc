// Elements of SVG (runtime/pages/svg.h).
#include "runtime/pages/svg.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lockstep {
namespace {

// A length or coordinate, one decimal.
std::string N(double value) { return absl::StrFormat("%.1f", value); }

std::string WithTitle(const std::string& element, const std::string& attributes,
                      const std::string& title) {
  const std::string start = absl::StrCat("<", element, " ", attributes);
  if (title.empty()) return start + "/>\n";
  return absl::StrCat(start, "><title>", Escaped(title), "</title></", element, ">\n");
}

}  // namespace

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: {
        const bool control = static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t';
        out += control ? '?' : c;
      }
    }
  }
  return out;
}

std::string SeriesColour(size_t number) {
  static constexpr std::array<const char*, 21> kColours = {
      "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555",
      "#7fb8d8", "#eaae7f", "#7fceb9", "#e5bcd3", "#f2cf7f", "#abd9f4", "#aaaaaa",
      "#003959", "#6a2f00", "#004f39", "#663c53", "#735000", "#2b5a74", "#f0e442"};
  return kColours[number % kColours.size()];
}

std::string HeatColour(double share) {
  static constexpr std::array<std::array<int, 3>, 5> kSteps = {
      {{255, 255, 255}, {254, 217, 118}, {253, 141, 60}, {189, 0, 38}, {60, 0, 30}}};
  const double at = std::clamp(share, 0.0, 1.0) * (kSteps.size() - 1);
  const size_t i = std::min(static_cast<size_t>(at), kSteps.size() - 2);
  std::array<int, 3> c{};
  for (size_t k = 0; k < 3; ++k) {
    c[k] = static_cast<int>(std::lround(kSteps[i][k] + (at - static_cast<double>(i)) *
                                                           (kSteps[i + 1][k] - kSteps[i][k])));
  }
  return absl::StrFormat("#%02x%02x%02x", c[0], c[1], c[2]);
}

void Svg::Rect(const Box& box, const std::string& fill, const std::string& title) {
  body_ += WithTitle("rect",
                     absl::StrCat("x=\"", N(box.x), "\" y=\"", N(box.y), "\" width=\"",
                                  N(box.width), "\" height=\"", N(box.height), "\" fill=\"", fill,
                                  "\""),
                     title);
}

void Svg::Frame(const Box& box, const std::string& stroke) {
  absl::StrAppend(&body_, "<rect x=\"", N(box.x), "\" y=\"", N(box.y), "\" width=\"",
                  N(box.width), "\" height=\"", N(box.height), "\" fill=\"none\" stroke=\"",
                  stroke, "\"/>\n");
}

void Svg::Line(Point from, Point to, const std::string& stroke, double width) {
  absl::StrAppend(&body_, "<line x1=\"", N(from.x), "\" y1=\"", N(from.y), "\" x2=\"", N(to.x),
                  "\" y2=\"", N(to.y), "\" stroke=\"", stroke, "\" stroke-width=\"", N(width),
                  "\"/>\n");
}

void Svg::Polyline(const std::vector<Point>& points, const std::string& stroke) {
  body_ += "<polyline fill=\"none\" stroke-width=\"2.0\" stroke=\"" + stroke + "\" points=\"";
  for (const Point& p : points) absl::StrAppend(&body_, N(p.x), ",", N(p.y), " ");
  body_ += "\"/>\n";
}

void Svg::Dot(Point at, const std::string& fill, const std::string& title) {
  body_ += WithTitle("circle",
                     absl::StrCat("cx=\"", N(at.x), "\" cy=\"", N(at.y), "\" r=\"3.0\" fill=\"",
                                  fill, "\""),
                     title);
}

void Svg::Text(Point at, const std::string& text, Anchor anchor, double size, bool upwards) {
  static constexpr std::array<const char*, 3> kAnchors = {"start", "middle", "end"};
  const std::string turned =
      upwards ? absl::StrCat(" transform=\"rotate(-90 ", N(at.x), " ", N(at.y), ")\"") : "";
  absl::StrAppend(&body_, "<text x=\"", N(at.x), "\" y=\"", N(at.y), "\" font-size=\"", N(size),
                  "\" text-anchor=\"", kAnchors[static_cast<size_t>(anchor)], "\"", turned, ">",
                  Escaped(text), "</text>\n");
}

std::string Svg::Finish() const {
  return absl::StrCat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", N(width_),
                      "\" height=\"", N(height_), "\" viewBox=\"0 0 ", N(width_), " ",
                      N(height_), "\" font-family=\"sans-serif\">\n<rect width=\"100%\" "
                      "height=\"100%\" fill=\"#ffffff\"/>\n", body_, "</svg>\n");
}

}  // namespace lockstep
