#pragma once
// Matrix-vector products placed slot by slot, so that products of both hemispheres, and what
// becomes ready meanwhile, can be placed in the order of time.
//
//   load     s0 | s1 | s2 | ..     weights of a slot: 10 cycles, or as many more as others take of them
//   install       s0 | s1 | ..
//   feed            s0 | s1 | ..   waits for its vector of x; the last one of a row tile stores y, or has it taken
//
// Weights of the first slots are loaded and installed before x is there. If asked to, row tiles take
// turns while x is still to come: next is the first tile whose next vector is there, else the one that
// has had the fewest:
//
//   x0 of tile 0 | x0 of tile 1 | x1 of tile 0 | x0 of tile 2 | x1 of tile 1 | ..
//
// Sums are made slot by slot in one order, whichever way the tiles go: the same bits. In int8 x may
// come in groups with a scale each; then every group of a tile is a sum of its own, and taken as a
// whole.

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "runtime/kernels/matvec.h"

namespace lockstep {

// One of the matrices that multiply the same vector on one side.
struct ProductPart {
  const char* name;
  Matrix matrix;
  // A vector a row tile; int8: the sums of the even and of the odd plane, else y[0] alone. Of no use
  // where sums are taken as they come.
  std::array<Quad, 2> y{};
};

class Product {
 public:
  // x: vectors of the matrices' side, as runtime/matvec.h has them (int8: in slice `plane`).
  struct Way {
    // Whether row tiles take turns while x is still to come.
    bool turns = false;
    // Of the vectors of x, as they are multiplied and summed; empty: as they lie.
    std::vector<int> order{};
    // Eastern tiles go from the last to the first: results of both sides from either end.
    bool inwards = false;
    // int8: how many vectors of x, in their order, share a sum; empty: all.
    std::vector<int> groups{};
  };
  // Sum `sum` of row tile `tile` of part `part`, which has been made.
  struct Sum {
    int part, tile, sum;
  };
  // Takes an int8 sum where it comes to the VXM: a block in which streams streams[p].. bring plane p's
  // int32 vector in cycle `at`.
  struct Taker {
    Block block;
    std::array<int, 2> streams;
    int64_t at;
  };
  using TakerOf = std::function<Taker(const Sum&)>;
  // Sums are stored in y, or go to a taker each.
  // REQUIRES: at least one part; parts are alike in side, slots, slot stride and format, which is int8
  // where there is a taker.
  Product(Placer& placer, const ChipTiming& timing, std::vector<ProductPart> parts, Pair x,
          const Way& way, TakerOf taker = nullptr);

  bool done() const { return finished_ == static_cast<int>(tiles_.size()); }
  // The cycle in which the next slot's weights arrive at the array if nothing is in their way.
  int64_t next() const { return load_; }
  // Places the next slot; the sum that it has completed. REQUIRES: !done().
  std::optional<Sum> Step();

 private:
  struct Tile {
    int part, tile;
    int next = 0;  // slot, in order
  };
  const Matrix& matrix(const Tile& tile) const { return parts_[tile.part].matrix; }
  const Matrix& shape() const { return parts_.front().matrix; }  // what all parts have in common
  void CutSlots(const std::vector<int>& groups);
  void Choose();
  bool There(const Tile& tile);
  Block Activation(int index) const;
  int64_t Install(const char* name, bool last);
  void Activate(int index);
  void Feed(const Tile& tile, int k, int64_t install);
  void HoldEntry(Block& b, int entry, int64_t at) const;
  bool EndsSum(int k) const { return k + 1 == slots_.size() || cuts_[k + 1].sum > cuts_[k].sum; }

  Placer& placer_;
  std::vector<ProductPart> parts_;
  const TandemPlanes mxm_;
  const Pair x_;
  const TakerOf taker_;
  const bool turns_;
  const SlotOrder slots_;
  // Of each slot: its sum, where that begins; where the slots end that a tile takes in one go, and
  // those whose vectors are in the activation buffer at a time.
  struct Cut {
    int sum, begin, pass, window;
  };
  std::vector<Cut> cuts_;
  std::vector<Tile> tiles_;      // of all parts
  int open_ = 0;                 // tiles that may be under way together
  int finished_ = 0;             // tiles
  int first_tile_ = 0, group_ = 0;  // tiles first_tile_ .. group_ - 1 are to be chosen from
  int window_ = 0;               // and their slots before this one
  int tile_ = 0, end_ = 0;       // the tile under way, and up to which slot
  std::vector<int> loaded_;      // by entry of the activation buffer: the index of its vector
  std::vector<int64_t> ready_;   // by index of a vector: when it can be there; -1: not asked yet
  int64_t load_ = 0;
};

// Places the products of two sides in the order of time. Each time a sum is stored or taken, calls
// made(product, what).
void PlaceTogether(std::vector<Product>& products,
                   const std::function<void(size_t product, const Product::Sum& what)>& made);

}  // namespace lockstep
