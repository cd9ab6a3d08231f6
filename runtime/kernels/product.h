#pragma once
// Matrix-vector products placed slot by slot, so that products of both hemispheres, and what
// becomes ready meanwhile, can be placed in the order of time.
//
//   load     s0 | s1 | s2 | ..     weights of a slot: 10 cycles, or as many more as others take of them
//   install       s0 | s1 | ..
//   feed            s0 | s1 | ..   waits for its vector of x; the last one of a row tile stores y
//
// Weights of the first slots are loaded and installed before x is there. If asked to, the row tiles that
// share the accumulators take turns, a vector of x each, while its last one is still to come; from then
// on each row tile is finished before the next:
//
//   x0 of tiles 0, 1, 2 | x1 of tiles 0, 1, 2 | .. all of x is there .. | tile 0 | tile 1 | tile 2
//
// Sums are made slot by slot in one order, whichever way the tiles go: the same bits.

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
  // A vector a row tile; int8: the sums of the even and of the odd plane, else y[0] alone.
  std::array<Quad, 2> y;
};

class Product {
 public:
  // x: vectors of the matrices' side, as runtime/matvec.h has them (int8: in slice `plane`).
  struct Way {
    // Whether row tiles take turns while x is still to come: x is used early, results come late.
    bool turns = false;
    // Of the vectors of x, as they are multiplied and summed; empty: as they lie.
    std::vector<int> order{};
    // Eastern tiles go from the last to the first: results of both sides from either end.
    bool inwards = false;
  };
  // REQUIRES: at least one part; parts are alike in side, slots, slot stride and format.
  Product(Placer& placer, const ChipTiming& timing, std::vector<ProductPart> parts, Pair x,
          const Way& way);

  bool done() const { return first_tile_ == static_cast<int>(tiles_.size()); }
  // The cycle in which the next slot's weights arrive at the array if nothing is in their way.
  int64_t next() const { return load_; }
  // Row tile `tile` of part `part` is stored.
  struct Stored {
    int part, tile;
  };
  // Places the next slot; what that stored. REQUIRES: !done().
  std::optional<Stored> Step();

 private:
  struct Tile {
    int part, tile;
  };
  const Matrix& matrix(const Tile& tile) const { return parts_[tile.part].matrix; }
  const Matrix& shape() const { return parts_.front().matrix; }  // what all parts have in common
  void BeginSegment();
  bool AllThere() const;
  Block Activation(int index) const;
  void Load(const Tile& tile, int slot);
  Block Piece(const Tile& tile, const WeightWords& words, int first, int rows) const;
  int64_t Install(const char* name, bool last);
  void Activate(int index);
  void Feed(const Tile& tile, int k, int64_t install);
  void HoldEntry(Block& b, int entry, int64_t at) const;

  Placer& placer_;
  std::vector<ProductPart> parts_;
  const TandemPlanes mxm_;
  const Pair x_;
  const bool turns_;
  const SlotOrder slots_;
  std::vector<Tile> tiles_;   // of all parts
  // The segment: tiles first_tile_ .. of the group, slots first_..end_ - 1 in their order.
  int first_tile_ = 0, group_ = 0;
  int first_ = 0, end_ = 0;
  int tile_ = 0, k_ = 0;      // the next to be placed
  std::vector<int> loaded_;   // by entry of the activation buffer: the index of its vector
  int64_t load_ = 0;
};

// Places the products of two sides in the order of time. Each time a row tile is stored, calls
// stored(product, part, tile).
void PlaceTogether(std::vector<Product>& products,
                   const std::function<void(size_t product, int part, int tile)>& stored);

}  // namespace lockstep
