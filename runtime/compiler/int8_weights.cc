// Quantisation of weights (runtime/compiler/int8_weights.h).
#include "runtime/compiler/int8_weights.h"

#include <algorithm>
#include <cmath>

#include "chip/check.h"

namespace lockstep {
namespace {
constexpr double kLargest = 127;
}  // namespace

float QuantiseRow(std::span<const float> row, std::span<int8_t> out) {
  LOCKSTEP_CHECK(out.size() == row.size(), "%d weights into %d", row.size(), out.size());
  double largest = 0;
  for (float w : row) {
    LOCKSTEP_CHECK(std::isfinite(w), "the weight %f", w);
    largest = std::max(largest, std::abs(double{w}));
  }
  std::fill(out.begin(), out.end(), int8_t{0});
  if (largest == 0) return 0;
  // The largest becomes 127 exactly: it is divided by itself.
  for (size_t i = 0; i < row.size(); ++i) {
    out[i] = static_cast<int8_t>(std::nearbyint(row[i] * kLargest / largest));
  }
  return static_cast<float>(largest / kLargest);
}

}  // namespace lockstep
