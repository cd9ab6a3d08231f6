#pragma once
// The published int8 path: activations are quantised in the VXM, one scale for each group of
// vectors of x, multiplied in the MXM (runtime/kernels/product.h), and the int32 sums are scaled in
// the VXM and added over the groups.
//
//   m = max |x|      q[k] = round(x[k] * (127 / m))      x_scale = m * (1 / 127)           of a
//   group y[r] = (sum over groups of float(sum over its k of w[r][k] q[k]) * x_scale) *
//   row_scale[r]
//
// 127 / m is 127 times the square of rsqrt(m + 1e-30), as no division is published; it is off by a
// few 2^-24, so |q| <= 127 and q is the nearest integer but next to a tie. An x of zeros gives
// zeros.

#include <array>
#include <optional>
#include <vector>

#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/chain.h"
#include "runtime/kernels/place.h"
#include "runtime/kernels/product.h"

namespace lockstep {

// Positions of which the same is done, and how many vectors lie between those of one and of the next:
// of vectors and what they are multiplied to, of scales.
struct Int8Batch {
  int positions = 1;
  int x = 1, scale = 1;
};

struct Int8Kernels {
  const ChipTiming& timing;
  Placer& placer;

  // Quantises `words` fp16 vectors as one x: int8 and, in every lane, its scale, each in two
  // places, on any sides. scratch: two vectors a position in a column that holds neither x nor q; q in
  // other slices than x.
  void Quantise(Pair x, int words, Quad scratch, std::array<Single, 2> q,
                std::array<Quad, 2> scale, const Int8Batch& batch = {}) {
    Largest(x, words, scratch, batch);
    QuantiseBy(x, words, scratch, q, scale, batch);
  }
  // Its two steps: the largest |x| of each lane into scratch, which may be of other vectors with the
  // same elements that are there sooner; the rest.
  void Largest(Pair x, int words, Quad scratch, const Int8Batch& batch = {});
  void QuantiseBy(Pair x, int words, Quad scratch, std::array<Single, 2> q,
                  std::array<Quad, 2> scale, const Int8Batch& batch = {});

  // What x * gain of an Int8Norm is made of.
  struct Scaled {
    Quad x, gain;
  };
  // The same of words `words` of x * gain, whose largest |x * gain| of each lane is in scratch, a
  // vector a position.
  void Quantise(const Scaled& x, std::vector<int> words, Quad scratch, std::array<Single, 2> q,
                std::array<Quad, 2> scale, const Int8Batch& batch = {});

  // y = float(sum) * scale, or y + that, and then times row_scale and `by`.
  struct Scaling {
    Quad scale;
    bool add = false;
    std::optional<Quad> row_scale{}, by{};
  };
  // Of sums even + odd, of one word of each position, those of y batch.x apart, of even, odd and by
  // next to each other. Even, odd, y, scale and row_scale in different columns; by in none of those of
  // even and row_scale, and of several positions in none of the others'.
  struct Sums {
    Quad even, odd;
    Scaling scaling;
    Int8Batch batch{};
  };
  void Dequantise(const Sums& sums, Quad y);
  // The same of a sum that comes from the planes of `side`. Y, scale and row_scale in different
  // columns; by in none of that of row_scale.
  Product::Taker Take(const char* name, Hemisphere side, const Scaling& scaling, Quad y) const;

  // y[i] = lanes 0..159 of x[2i], then lanes 0..159 of x[2i + 1], whose other lanes must be zero. x
  // on any side, y in other slices.
  void PackHalves(Pair x, int halves, Pair y);

 private:
  Chain::Value ScaledSum(Chain& c, Chain::Value sum, const Scaling& scaling, Quad y, int first,
                      const Int8Batch& batch) const;
  void Scale(Quad scratch, const std::array<Quad, 2>& scale, const Int8Batch& batch);
};

}  // namespace lockstep
