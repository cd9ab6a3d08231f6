// Weights in pieces (runtime/kernels/weight_load.h).
#include "runtime/kernels/weight_load.h"

namespace lockstep {
namespace {

// Rows first.. of a slot's weights, in cycles 0...
Block Piece(const TandemPlanes& mxm, const char* name, const Matrix& m, int tile, int slot, int first,
            int rows) {
  Block b(name);
  mxm.Stream(b, m.WordsOf(tile, slot), first, rows, 0);
  for (int done = 0, run = 0; done < rows; done += run) {
    const int row = m.loaded_row(tile, first + done);
    for (run = 1; done + run < rows && m.loaded_row(tile, first + done + run) == row + run;) ++run;
    mxm.LoadTile(b, run, done, row);
  }
  b.HoldFor(HoldIndex(Hold::kWeightBuffer, m.side), 0, rows - 1);
  return b;
}

}  // namespace

int64_t PlaceWeights(Placer& placer, const TandemPlanes& mxm, const char* name, const Matrix& m,
                     int tile, int slot, int64_t load) {
  const int cycles = m.tile_cycles(tile);
  const auto find = [&](int row, int rows) {
    return placer.Find(Piece(mxm, name, m, tile, slot, row, rows), load);
  };
  for (int row = 0; row < cycles;) {
    int rows = cycles - row;
    if (find(row, rows) > load) {
      const int64_t first = find(row, 1);
      for (int fewer = 1, more = rows + 1; (rows = (fewer + more) / 2) > fewer;) {
        (find(row, rows) > first ? more : fewer) = rows;
      }
    }
    load = placer.Place(Piece(mxm, name, m, tile, slot, row, rows), load) + rows;
    row += rows;
  }
  return load;
}

}  // namespace lockstep
