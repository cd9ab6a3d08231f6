#pragma once
// One step of an LSTM layer on one chip: a program of the kind that publications measure.
//
//   i, f, g, o = W_i v, W_f v, W_g v, W_o v        v = [h; x; 1], fp16; the 1 meets the biases
//   c' = sigmoid(f) c + sigmoid(i) tanh(g)         fp32; sigmoid(z) = (tanh(z / 2) + 1) / 2
//   h' = sigmoid(o) tanh(c')                       as fp16 in h's place of both copies of v
//
// W_i and W_f stream through the western MXM, W_g and W_o through the eastern one.

#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/matvec.h"
#include "runtime/kernels/place.h"

namespace lockstep {

struct LstmShape {
  int hidden = 0;  // a multiple of 320
  int input = 0;
  int columns() const { return hidden + input + 1; }  // of each matrix
  int words() const { return hidden / kTileRows; }
};

// Where everything lies. REQUIRES: hidden a multiple of 320, at least 320; input >= 1.
struct LstmMap {
  explicit LstmMap(const LstmShape& shape);

  Matrix i, f, g, o;
  Pair v_west, v_east;
  Quad c, c_next;  // fp32, words() vectors each
  Quad sum_i, sum_f, sum_g, sum_o, candidate;
};

void PlaceLstmStep(Placer& placer, const ChipTiming& timing, const LstmShape& shape,
                   const LstmMap& map);

}  // namespace lockstep
