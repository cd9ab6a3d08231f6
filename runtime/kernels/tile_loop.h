#pragma once
// Tiles through the tandem planes of a hemisphere one after the other, each fed several times: the
// loop of attention and of products with several vectors.
//
//   load   | tile 0 |    | tile 1 |    | tile 2 |         of tile i + 1 while tile i is fed, at the
//   feed              0000000     1111111     2222222     earliest; an install between them
//
//   TileLoop loop(mxm, block, first_load);
//   const int64_t feed = loop.Next(weight_row, cycles, feeds);   // emit feeds at feed, feed + 1,
//   ... loop.HoldAll(true);

#include <algorithm>

#include "runtime/kernels/matvec.h"

namespace lockstep {

class TileLoop {
 public:
  // No tile is loaded before `load`, and none installed before `ready`. mxm and block outlive the
  // loop.
  TileLoop(const TandemPlanes& mxm, Block& block, int64_t load, int64_t ready)
      : mxm_(mxm), block_(block), first_load_(load), load_(load), last_feed_(ready - 1) {}
  TileLoop(const TandemPlanes& mxm, Block& block, int64_t load)
      : TileLoop(mxm, block, load, load) {}

  // Loads weight rows row .. row + cycles - 1 (they come in `cycles` cycles) and installs them as
  // soon as the tile before has been fed. Returns the first cycle for its feeds; the last may come
  // feeds - 1 cycles later. stored: kInt8: rows that are widened on their way (widen.h).
  int64_t Next(int row, int cycles, int64_t feeds, NumberFormat stored = NumberFormat::kFp16);
  // The same for a slot of a matrix.
  int64_t Next(const WeightWords& words, int cycles, int64_t feeds);

  // Holds what the loop used: weight buffer, array and accumulators, and if `activations` the
  // activation buffer from cycle 0 on. Call once, after the last tile.
  void HoldAll(bool activations);
  int64_t last_feed() const { return last_feed_; }

 private:
  int64_t Install(int cycles, int64_t feeds);

  const TandemPlanes& mxm_;
  Block& block_;
  const int64_t first_load_;
  int64_t load_, last_feed_;
  int64_t first_install_ = -1, last_install_ = -1;
};

}  // namespace lockstep
