#pragma once
// Pictures as SVG text: shapes, then charts made of them. No font is embedded and nothing is loaded.
// The same calls give the same bytes on every host: numbers have one decimal.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

struct Point {
  double x, y;
};
struct Box {
  double x, y, width, height;
};

// & < > " as entities: for text and attributes of SVG and HTML. Bytes that are no text become '?'.
std::string Escaped(const std::string& text);

// Colours that most people can tell apart (Okabe and Ito), then lighter and darker ones; `number`
// wraps around.
std::string SeriesColour(size_t number);

// White (0) over yellow and red to nearly black (1).
std::string HeatColour(double share);

class Svg {
 public:
  enum class Anchor { kStart, kMiddle, kEnd };

  Svg(double width, double height) : width_(width), height_(height) {}

  // `title`: what is shown when the pointer rests on it.
  void Rect(const Box& box, const std::string& fill, const std::string& title = "");
  void Frame(const Box& box, const std::string& stroke);  // the outline alone
  void Line(Point from, Point to, const std::string& stroke, double width = 1);
  void Polyline(const std::vector<Point>& points, const std::string& stroke);
  void Dot(Point at, const std::string& fill, const std::string& title);
  void Text(Point at, const std::string& text, Anchor anchor = Anchor::kStart, double size = 11,
            bool upwards = false);

  std::string Finish() const;  // the whole element, on a white ground

 private:
  const double width_, height_;
  std::string body_;
};

}  // namespace lockstep
