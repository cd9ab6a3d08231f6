#pragma once
// A large fp16 matrix product C[M, N] = A[M, K] B[K, N] as one chip program (V7), weights
// stationary:
//
//   for each 320 columns n of B, for each 160 rows k of B:        a pass
//     install tile B(k, n), loaded while the tile before it was used
//     feed all rows of A(., k), one a cycle; add the results to C(., n) in the VXM
//
// The hemispheres share M, so both need every tile. The 16 accumulators of a plane cannot hold C's
// column of tiles; partial sums go out through the VXM and back to SRAM, from one of two buffers
// into the other. A buffer is two column quads, for the first and the second half of the rows: what
// one pass writes it reads a pass later, and no slice reads and writes in one pass.
//
//   SRAM of a hemisphere, ranks   0..15 sums   16..23 activations   24..39 weights

#include <cstdint>

#include "chip/latency.h"
#include "chip/program.h"

namespace lockstep {

// REQUIRES: rows a multiple of 4 and >= 256; sizes that fit: k_tiles * 20 * n_tiles <= 8192,
// n_tiles * rows / 4 <= 8192, k_tiles <= 8 * (8192 / (rows / 2)).
struct MatmulShape {
  int rows = 0;     // M, of both hemispheres together
  int k_tiles = 0;  // of 160
  int n_tiles = 0;  // of 320
};

// Where a value lies, for whoever fills or reads SRAM. `side_row` counts within the hemisphere.
struct MatmulWord {
  int first_rank;  // of two (activations: low, high byte), four (sums) or 16 (weights) slices
  int address;
};
MatmulWord ActivationWord(const MatmulShape& shape, int side_row, int k_tile);  // half k_tile % 2
MatmulWord SumWord(const MatmulShape& shape, int side_row, int n_tile);
// First of 20 words; row c + 8 w (c < 8) of the tile's columns c is in word w, slices 2c and 2c +
// 1, lanes 0..159; column c + 8 w + 160 beside it in lanes 160..319.
MatmulWord WeightWord(const MatmulShape& shape, int k_tile, int n_tile);

Program MatmulProgram(const MatmulShape& shape, const ChipTiming& timing);

}  // namespace lockstep
