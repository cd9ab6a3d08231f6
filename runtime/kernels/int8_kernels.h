#pragma once
// The published int8 path: activations are quantised in the VXM, one scale a vector of x,
// multiplied in the MXM (runtime/kernels/matvec.h, PlaceInt8MatVec), and the int32 sums are scaled
// in the VXM.
//
//   m = max |x|      q[k] = round(x[k] * (127 / m))      x_scale = m * (1 / 127)
//   y[r] = (float(sum over k of w[r][k] q[k]) * row_scale[r]) * x_scale
//
// 127 / m is 127 times the square of rsqrt(m + 1e-30), as no division is published; it is off by a
// few 2^-24, so |q| <= 127 and q is the nearest integer but next to a tie. An x of zeros gives
// zeros.

#include <array>

#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/place.h"

namespace lockstep {

struct Int8Kernels {
  const ChipTiming& timing;
  Placer& placer;

  // Quantises `words` fp16 vectors as one x: int8 and, in every lane, its scale, each in two
  // places, on any sides. scratch: two vectors in a column that holds neither x nor q; q in other
  // slices than x.
  void Quantise(Pair x, int words, Quad scratch, std::array<Single, 2> q,
                std::array<Quad, 2> scale);

  // y = (float(even + odd) * row_scale) * scale for `words` vectors. All five in different columns.
  void Dequantise(Quad even, Quad odd, Quad row_scale, Quad scale, int words, Quad y);

  // y[i] = lanes 0..159 of x[2i], then lanes 0..159 of x[2i + 1], whose other lanes must be zero. x
  // on any side, y in other slices.
  void PackHalves(Pair x, int halves, Pair y);
};

}  // namespace lockstep
