// Loads, installs and holds of a sequence of tiles (runtime/kernels/tile_loop.h).
#include "runtime/kernels/tile_loop.h"

#include "runtime/kernels/widen.h"

namespace lockstep {

int64_t TileLoop::Next(int row, int cycles, int64_t feeds, NumberFormat stored) {
  if (stored == NumberFormat::kInt8) {
    StreamWidened(mxm_, block_, row, cycles, load_);
  } else {
    mxm_.Stream(block_, row, cycles, load_);
  }
  return Install(cycles, feeds);
}

int64_t TileLoop::Next(const WeightWords& words, int cycles, int64_t feeds) {
  mxm_.Stream(block_, words, 0, cycles, load_);
  return Install(cycles, feeds);
}

int64_t TileLoop::Install(int cycles, int64_t feeds) {
  mxm_.LoadTile(block_, cycles, load_);
  // An install waits for the feeds of the tile before; the loads of a tile wait for that install.
  const int64_t install = std::max(mxm_.InstallAt(load_ + cycles - 1), last_feed_ + 1);
  mxm_.Install(block_, install);
  if (first_install_ < 0) first_install_ = install;
  last_install_ = install;
  load_ = std::max(load_ + cycles, install);
  const int64_t feed = mxm_.FeedAt(install);
  last_feed_ = feed + feeds - 1;
  return feed;
}

void TileLoop::HoldAll(bool activations) {
  const int64_t first_take = mxm_.ResultAt(mxm_.FeedAt(first_install_));
  const auto hold = [&](Hold what, int64_t from, int64_t to) {
    block_.HoldFor(HoldIndex(what, mxm_.side), from, to);
  };
  hold(Hold::kWeightBuffer, first_load_, last_install_ - 1);
  hold(Hold::kArray, first_install_, last_feed_);
  hold(Hold::kAccumulators, first_take, mxm_.ResultAt(last_feed_));
  if (activations) hold(Hold::kActivations, 0, last_feed_);
}

}  // namespace lockstep
