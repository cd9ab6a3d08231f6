#pragma once
// A group whose members are all cabled to each other, 469 cycles apart.

#include "runtime/kernels/collective.h"

namespace lockstep {

inline Group GroupOf(int chips, int self) {
  Group g{chips, self, std::vector<int>(chips, -1), 469};
  for (int m = 0; m < chips; ++m) {
    if (m != self) g.port[m] = (m - self - 1 + chips) % chips;
  }
  return g;
}

}  // namespace lockstep
