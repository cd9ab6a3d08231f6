#pragma once
// The matrix-vector product y[N] = W[N, K] x[K] in fp16 with fp32 results, weights streamed from SRAM
// through one hemisphere's tandem planes (chip: docs/machine.md, MXM).
//
//   a tile     320 rows x 160 columns of W; 10 cycles on 32 streams (20,480 B a cycle on two sides)
//   row r      lane half r / 160 of stream pair (r % 160) % 16, weight row (r % 160) / 16 of the tile
//   a slot     160 consecutive elements of x: one lane half of an fp16 vector pair
//
// Weight rows lie in the order in which they stream: for groups of up to 16 row tiles, for segments
// of up to 64 slots of x (what the activation buffer holds), row tile by row tile, slot by slot.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/block.h"
#include "runtime/place.h"

namespace lockstep {

inline constexpr int kTileRows = 320;
inline constexpr int kActivationPairs = 32;  // fp16 vectors the activation buffer holds
inline constexpr int kAccumulators = 16;

// Weight rows (of all 32 weight slices) that `rows` (1..320) rows of one slot take; at least two,
// since an install and the feed before it cannot share a cycle.
constexpr int TileCycles(int rows) {
  return rows > kHalfLanes ? kHalfLanes / 16 : std::max(2, CeilDiv(rows, 16));
}

// A matrix in SRAM: `rows` x (slots * 160), on one side, from weight row `address`.
struct Matrix {
  Hemisphere side = Hemisphere::kEast;
  int address = 0;
  int rows = 0;
  int slots = 0;        // of x that meet weights
  int slot_stride = 1;  // 1: x packs two slots a vector; 2: one slot a vector (lanes 0..159)

  int tiles() const { return CeilDiv(rows, kTileRows); }
  int tile_rows(int tile) const { return std::min(kTileRows, rows - tile * kTileRows); }
  int vectors() const { return CeilDiv(slots * slot_stride, 2); }  // fp16 vectors of x
  int weight_rows() const;  // of each of the 32 slices
};

// Visits (tile, slot, weight row of its first cycle) in the order of streaming.
void ForEachTile(const Matrix& m, const std::function<void(int tile, int slot, int row)>& visit);

// Emits y = W x: x an fp16 vector pair of the matrix' side, y fp32 vectors, one a tile of rows.
void PlaceMatVec(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m, Pair x,
                 Quad y);

// Puts row `row`, slot `slot` of W (160 fp16 values, shorter ones padded with zeros by the caller) at
// its place: calls store(slice, address, first lane, bytes of 160 lanes) for both byte planes.
using LaneStore = std::function<void(int slice, int address, int lane, const uint8_t* lanes160)>;
void StoreWeightRow(const Matrix& m, int row, int slot, const uint16_t* values, const LaneStore& store);

// The pieces from which attention is made, too: emit into `block` for hemisphere `side`.
struct TandemPlanes {
  const ChipTiming& timing;
  Hemisphere side;

  int position() const { return MxmPosition(side); }
  int plane() const { return side == Hemisphere::kEast ? 2 : 0; }
  int OutStream(int index) const { return StreamNumber(Inward(side), index); }
  int InStream(int index) const { return StreamNumber(Outward(side), index); }
  int d(Opcode op) const { return timing.d_func[static_cast<int>(op)]; }

  // Weight rows address, address + stride, ... arrive at the planes in cycles at, at + 1, ...
  void Stream(Block& b, int address, int cycles, int64_t at, int stride = 1) const;
  // Loads what arrives in those cycles as rows 0.. of a tile.
  void LoadTile(Block& b, int cycles, int64_t at) const;
  // Reads vectors src.. into activation entries entry.. in cycles at, at + 1, ...
  void Activate(Block& b, Pair src, int entry, int count, int64_t at, int stride = 1) const;
  void Install(Block& b, int64_t at) const;
  // First cycle in which a feed meets what was loaded up to and including cycle last_load.
  int64_t InstallAt(int64_t last_load) const { return last_load + d(Opcode::kLw); }
  int64_t FeedAt(int64_t install) const { return install + d(Opcode::kIw); }
  int64_t ResultAt(int64_t feed) const { return feed + timing.mxm_array; }
  // Cycles from one tile's first load to the next one's: loads wait for the install of the tile
  // before, an install for the feed of the tile before.
  int TilePeriod(int cycles) const {
    return std::max(cycles + d(Opcode::kLw) - 1, d(Opcode::kIw) + 1);
  }
  // Stores what ACC emitted in cycle `acc` (count of them, period apart) on quad `stream`.
  void StoreResult(Block& b, int stream, Quad dst, int64_t acc, int count = 1, int period = 1,
                   int stride = 1) const;
};

}  // namespace lockstep
