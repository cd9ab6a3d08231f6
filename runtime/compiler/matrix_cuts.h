#pragma once
// Gives the matrices of a stage their places: cut by row tiles between the hemispheres, and where
// SRAM is short with ends that share slots.
//
//   columns of o      0..319 | 320..639 | 640..959 | 960..1023 | -
//   columns of down   0..319 | ...         3200..3519 |    -   3520..3583 | -
//   slots              own      own                      one for both, each in lanes of its own
//
// The vector that meets a shared slot has zeros in the lanes of the others.

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/compiler/layout.h"
#include "runtime/compiler/memory_map.h"
#include "runtime/compiler/weight_sides.h"

namespace lockstep {

class MatrixCuts {
 public:
  // Where room is short:
  struct Short {
    std::vector<int> western = {};  // tiles of each matrix that go west, in the order of the calls;
                                    // empty: halves
    bool landing =
        false;  // weights may lie where parts of sums land while they stream, which is slower
    // Of matrices that come first, so many slots at either end lie there no more than those of such
    // products.
    int outer = 0;
  };
  // Slots of x that `elements` of it take.
  static int SlotsOf(int elements, NumberFormat format) {
    return CeilDiv(elements, format == NumberFormat::kInt8 ? kLanes : kHalfLanes);
  }
  // The most that `outer` is worth: of what meets a layer's norm, the slots that are multiplied
  // while parts of the sums of o land. In int8 more, as all tiles meet a group of words before the
  // next.
  static int OuterSlots(const Plan& plan) {
    return SlotsOf(plan.model.hidden_size, plan.weights) /
           (plan.weights == NumberFormat::kInt8 ? 3 : 8);
  }
  // The first row tiles of such a product, which stream before anything arrives.
  static int TilesBeforeSums(const Matrix& m);
  // memory outlives this.
  MatrixCuts(MemoryMap& memory, std::optional<Short> short_of_room)
      : memory_(memory), short_(std::move(short_of_room)) {}

  // Groups of `unit` tiles stay together.
  SplitMatrix Split(const Matrix& whole, int unit = 1);
  // For a product whose sums leave for other chips.
  SplitMatrix SplitSummed(const Matrix& whole);
  SplitMatrix SplitAt(const Matrix& whole, int western_tiles, bool summed = false,
                      MemoryMap::Turn turn = MemoryMap::Turn::kLater);

  // `rows` x `columns` of a product whose sums leave, whose last columns may share a slot. lane:
  // where they begin in the last slot.
  struct Ended {
    SplitMatrix matrix;
    int lane = 0;
  };
  Ended SplitSharing(int rows, int columns, NumberFormat format);

  // While such products stream, this western column takes what arrives: no weights of theirs there
  // if that can be, but those of TilesBeforeSums.
  static constexpr int kLandingColumn = kColumns - 1;

  // Matrices so far that were cut where room is short, and how the sides should be chosen if all
  // else takes what `room` says, these matrices included.
  std::vector<int> ChooseWestern(SideRoom room) const;

 private:
  struct SharedSlot {
    SplitMatrix matrix;
    size_t cut;  // in cuts_
    int western, lanes;
  };
  int WesternTiles(const Matrix& whole, int unit, bool summed);
  SharedSlot& SlotFor(const Matrix& end, int lanes);
  Matrix Placed(const Matrix& part, bool summed, MemoryMap::Turn turn);
  Matrix PlacedBeforeSums(const Matrix& part, MemoryMap::Turn turn);

  MemoryMap& memory_;
  const std::optional<Short> short_;
  std::vector<CutMatrix> cuts_;
  std::vector<SharedSlot> shared_;
};

}  // namespace lockstep
