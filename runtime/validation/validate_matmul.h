#pragma once
// A large fp16 matrix product C[M, N] = A[M, K] B[K, N] as one chip program (V7), weights
// stationary:
//
//   for each 320 columns n of B, for each 160 rows k of B:        a pass
//     install tile B(k, n), loaded while the tile before it was used
//     feed all rows of A(., k), one a cycle; add the results to C(., n) in the VXM
//
// The hemispheres share M, so that both need every tile of B, or N, so that both need all of A (of an odd
// number of tiles they share the last one by rows). The 16 accumulators of a plane cannot hold C's
// column of tiles; partial sums go out through the VXM and back to SRAM, from one of two buffers
// into the other. A buffer is two column quads, for the first and the second half of the rows: what
// one pass writes it reads a pass later, and no slice reads and writes in one pass.
//
//   SRAM of a hemisphere, ranks   0..15 sums   16..23 activations   24..39 weights

#include <cstdint>
#include <vector>

#include "chip/latency.h"
#include "chip/program.h"
#include "runtime/kernels/place.h"

namespace lockstep {

enum class MatmulCut : uint8_t { kRows, kColumns };  // what the hemispheres share

// REQUIRES: rows a multiple of 4 and >= 256; the words of a slice below are at most kWordsPerSlice.
struct MatmulShape {
  int rows = 0;     // M, of both hemispheres together
  int k_tiles = 0;  // of 160
  int n_tiles = 0;  // of 320
  MatmulCut cut = MatmulCut::kRows;

  // Of one hemisphere: the most rows of a tile, and the tiles of 320 columns.
  int side_rows() const { return cut == MatmulCut::kRows ? rows / 2 : rows; }
  int slots() const { return cut == MatmulCut::kRows ? n_tiles : CeilDiv(n_tiles, 2); }
  // Words that a slice of each kind holds.
  int64_t weight_words() const { return int64_t{20} * k_tiles * slots(); }
  int64_t sum_words() const { return int64_t{slots()} * side_rows() / 2; }
  int64_t activation_words() const {
    return int64_t{CeilDiv(CeilDiv(k_tiles, 2), 4)} * side_rows();
  }
};

// A tile of 320 columns, or some rows of it, as one hemisphere makes it.
struct MatmulTile {
  int n;     // of n_tiles
  int slot;  // of the hemisphere
  int first_row, rows;
};
std::vector<MatmulTile> MatmulTiles(const MatmulShape& shape, Hemisphere side);  // in order

// Where a value lies, for whoever fills or reads SRAM. `side_row` counts the rows that the hemisphere
// holds, from its first.
struct MatmulWord {
  int first_rank;  // of two (activations: low, high byte) or 16 (weights) slices
  int address;
};
MatmulWord ActivationWord(const MatmulShape& shape, int side_row, int k_tile);  // half k_tile % 2
// First of 20 words; row c + 8 w (c < 8) of the tile's columns c is in word w, slices 2c and 2c +
// 1, lanes 0..159; column c + 8 w + 160 beside it in lanes 160..319.
MatmulWord WeightWord(const MatmulShape& shape, int k_tile, int slot);
// The sum of a row and 320 columns.
Quad MatmulSum(const MatmulShape& shape, int row, int n_tile);
// Where sums lay a pass before: column 0 or 2, and the next one, of both hemispheres.
int StaleColumn(const MatmulShape& shape);

Program MatmulProgram(const MatmulShape& shape, const ChipTiming& timing);

}  // namespace lockstep
