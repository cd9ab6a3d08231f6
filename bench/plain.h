#pragma once
// What the emulator's arithmetic is compared with: a plain fp32 loop, as anyone would write it.

#include <cstddef>
#include <vector>

namespace lockstep {

// y = W x, W row by row.
inline std::vector<float> Times(const std::vector<float>& w, const std::vector<float>& x) {
  std::vector<float> y(w.size() / x.size());
  for (size_t r = 0; r < y.size(); ++r) {
    float sum = 0;
    for (size_t k = 0; k < x.size(); ++k) sum += w[r * x.size() + k] * x[k];
    y[r] = sum;
  }
  return y;
}

}  // namespace lockstep
