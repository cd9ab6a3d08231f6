#pragma once
// A matrix-vector product placed slot by slot, so that products of both hemispheres, and what
// becomes ready meanwhile, can be placed in the order of time.
//
//   load     s0 | s1 | s2 | ..     weights of a slot: 10 cycles, or as many more as others take of
//   them install       s0 | s1 | .. feed            s0 | s1 | ..   waits for its vector of x; the
//   last one of a row tile stores y
//
// Weights of the first slots are loaded and installed before x is there.

#include <array>
#include <functional>
#include <vector>

#include "runtime/kernels/matvec.h"

namespace lockstep {

class Product {
 public:
  // x: vectors of the matrix' side, as runtime/kernels/matvec.h has them (int8: in slice `plane`).
  // y: a vector a row tile; int8: the sums of the even and of the odd plane, else y[0] alone.
  Product(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m, Pair x,
          std::array<Quad, 2> y);

  bool done() const { return segment_ == segments_.size(); }
  // The cycle in which the next slot's weights arrive at the array if nothing is in their way.
  int64_t next() const { return load_; }
  // Places the next slot. REQUIRES: !done().
  void Step();
  // Row tiles 0.. whose y is stored.
  int stored() const { return stored_; }

 private:
  void Load(const WeightWords& words, int cycles);
  int64_t LoadPiece(const WeightWords& words, int first, int rows, bool place);
  int64_t Install();
  bool LastSlot() const;  // of the product
  void Activate(const SegmentOfTiles& segment);
  void Feed(int64_t install, int entry);
  void HoldEntry(Block& b, int vector, int64_t at) const;

  Placer& placer_;
  const TandemPlanes mxm_;
  const char* const name_;
  const Matrix m_;
  const Pair x_;
  const std::array<Quad, 2> y_;
  const std::vector<SegmentOfTiles> segments_;
  size_t segment_ = 0;
  int tile_ = 0, slot_ = 0;  // of the segment, the next to be placed
  int64_t load_ = 0;
  int stored_ = 0;
};

// Places products in the order of time: those of one sequence one after the other, sequences side
// by side. Each time a row tile is stored, calls stored(sequence, product of the sequence, tile).
void PlaceTogether(std::vector<std::vector<Product>>& sequences,
                   const std::function<void(size_t sequence, size_t product, int tile)>& stored);

}  // namespace lockstep
