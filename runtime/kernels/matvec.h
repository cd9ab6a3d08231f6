#pragma once
// The matrix-vector product y[N] = W[N, K] x[K], weights streamed from SRAM through one
// hemisphere's planes (chip: docs/machine.md, MXM). A tile takes 10 cycles on 32 streams (20,480 B
// a cycle on two sides) in both formats:
//
//   fp16, sums in fp32: the two planes in tandem
//     a tile   320 rows x 160 columns of W
//     row r    lane half r / 160 of stream pair (r % 160) % 16, weight row (r % 160) / 16 of the
//     tile a slot   160 consecutive elements of x: one lane half of an fp16 vector pair
//   int8, sums in int32 (exact): each plane multiplies half of the rows
//     a tile   320 rows x 320 columns of W
//     row r    stream r % 32, weight row r / 32 of the tile; streams 0..15 go to the even plane.
//     The
//              other plane's sums of that row are zero
//     a slot   320 consecutive elements of x: one vector
//
// Weights stream for groups of up to 16 row tiles, for segments of up to 64 slots of x (what the
// activation buffer holds), row tile by row tile, slot by slot. A matrix lies in this order either
// in one piece, from weight row `address` of the 32 weight slices, or in strips: some slots of a
// row tile, whose eight quads of streams each come from a column of their own. So more columns than
// the eight that stream at a time hold weights (runtime/compiler/memory_map.h).

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/files/number_format.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/place.h"

namespace lockstep {

inline constexpr int kTileRows = 320;
inline constexpr int kActivationPairs = 32;  // fp16 vectors the activation buffer holds
inline constexpr int kAccumulators = 16;
// Terms of the longest sum of int8 products that int32 holds: 127 * 127 * 133144 < 2^31.
inline constexpr int kInt8SumTerms = 0x7fffffff / (127 * 127);

// Weight rows (of all 32 weight slices) that `rows` (1..320) rows of one slot take; at least two,
// since an install and the feed before it cannot share a cycle.
constexpr int TileCycles(int rows, NumberFormat format = NumberFormat::kFp16) {
  if (format == NumberFormat::kInt8) return std::max(2, CeilDiv(rows, kWeightSlices));
  return rows > kHalfLanes ? kHalfLanes / 16 : std::max(2, CeilDiv(rows, 16));
}

inline constexpr int kStreamQuads = kWeightSlices / kSlicesPerColumn;

// Where the weights of one slot of a row tile begin: words of a column for each quad of streams.
struct QuadWords {
  int column, address;
};
using WeightWords = std::array<QuadWords, kStreamQuads>;

struct Strip {
  int first_slot, slots;  // of a row tile
  WeightWords at;         // of the first slot; the others follow
};

// The slots of a segment, and the row tiles that share the accumulators while it streams.
struct SegmentOfTiles {
  int first_tile, tiles;
  int first_slot, slots;
};

// A matrix in SRAM: `rows` x (slots * slot_lanes), on one side, from weight row `address`.
struct Matrix {
  Hemisphere side = Hemisphere::kEast;
  int address = 0;
  int rows = 0;
  int slots = 0;        // of x that meet weights
  int slot_stride = 1;  // fp16: 1: x packs two slots a vector; 2: one slot a vector (lanes 0..159)
  NumberFormat format = NumberFormat::kFp16;
  std::vector<std::vector<Strip>> strips{};  // by row tile; empty: in one piece
  int half_rows = kHalfLanes;  // rows 0.. of each half tile that hold weights; the others are zero
  int last_first_row = 0;      // of the last tile, which has no more than half a tile then (fp16)

  int tiles() const { return CeilDiv(rows, kTileRows); }
  int tile_rows(int tile) const { return std::min(kTileRows, rows - tile * kTileRows); }
  int tile_cycles(int tile) const;
  // The weight row of the whole tile that cycle `cycle` of a tile loads: what holds no weights is
  // left out, rows before last_first_row and in int8 the ends of half tiles.
  int loaded_row(int tile, int cycle) const;
  // The vector of x that begins with `slot`, and how many `count` slots take.
  int vector_of(int slot) const {
    return format == NumberFormat::kInt8 ? slot : slot * slot_stride / 2;
  }
  int vectors_of(int count) const {
    return format == NumberFormat::kInt8 ? count : CeilDiv(count * slot_stride, 2);
  }
  int vectors() const { return vectors_of(slots); }  // of x
  int weight_rows() const;                           // of each of 32 streams
  // In the order of streaming.
  std::vector<SegmentOfTiles> Segments() const;
  WeightWords WordsOf(int tile, int slot) const;
};

// The slots of x one after the other, in the order in which they are multiplied and summed.
struct SlotOrder {
  // vectors: of x, in their order; empty: as they lie. REQUIRES: else all of them, once.
  SlotOrder(const Matrix& m, std::vector<int> vectors);
  int size() const { return static_cast<int>(slots.size()); }
  // The slot of a pair of slots that the activation buffer holds; int8: a vector is a slot.
  int Half(const Matrix& m, int k) const {
    return m.format == NumberFormat::kInt8 ? 0 : slots[k] * m.slot_stride % 2;
  }
  std::vector<int> vectors, slots;
  std::vector<int> index;  // of each slot: where in `vectors` its vector stands
};

// Emits y = W x: x an fp16 vector pair of the matrix' side, y fp32 vectors, one a tile of rows.
// REQUIRES: m.format is fp16.
void PlaceMatVec(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                 Pair x, Quad y);
// Emits even + odd = W x in int32: x int8 vectors of the matrix' side, even and odd the sums of the
// two planes, one vector a tile of rows each, in different columns. REQUIRES: m.format is int8;
// m.slots * 320 <= kInt8SumTerms.
void PlaceInt8MatVec(Placer& placer, const ChipTiming& timing, const char* name, const Matrix& m,
                     Single x, Quad even, Quad odd);

// Puts row `row`, slot `slot` of W (160 fp16 values, shorter ones padded with zeros by the caller)
// at its place: calls store(slice, address, first lane, bytes of 160 lanes) for both byte planes.
using LaneStore = std::function<void(int slice, int address, int lane, const uint8_t* lanes160)>;
void StoreWeightRow(const Matrix& m, int row, int slot, const uint16_t* values,
                    const LaneStore& store);
// The same for 320 int8 values of a matrix in that format.
void StoreWeightRow(const Matrix& m, int row, int slot, const int8_t* values,
                    const LaneStore& store);

// The pieces from which attention is made, too: emit into `block` for hemisphere `side`, whose
// planes work in tandem (fp16) or side by side on the same activations (int8).
struct TandemPlanes {
  const ChipTiming& timing;
  Hemisphere side;
  NumberFormat format = NumberFormat::kFp16;

  int position() const { return MxmPosition(side); }
  int plane() const { return side == Hemisphere::kEast ? 2 : 0; }
  int type() const { return format == NumberFormat::kInt8 ? kTypeI8 : kTypeF16; }
  // Arrays that are installed, fed and read out on their own: plane(), plane() + 1.
  int arrays() const { return format == NumberFormat::kInt8 ? 2 : 1; }
  int OutStream(int index) const { return StreamNumber(Inward(side), index); }
  int InStream(int index) const { return StreamNumber(Outward(side), index); }
  int d(Opcode op) const { return timing.d_func[static_cast<int>(op)]; }

  // Weight rows address, address + stride, ... arrive at the planes in cycles at, at + 1, ...
  void Stream(Block& b, int address, int cycles, int64_t at, int stride = 1) const;
  // The same of words `first`.. of a slot.
  void Stream(Block& b, const WeightWords& words, int first, int cycles, int64_t at) const;
  // Loads what arrives in those cycles as rows of a tile: those of its weight rows first_row...
  void LoadTile(Block& b, int cycles, int64_t at, int first_row = 0) const;
  // Reads vectors src.. (int8: of its one slice) into activation entries entry.. from cycle `at`
  // on.
  void Activate(Block& b, Pair src, int entry, int count, int64_t at, int stride = 1) const;
  void Install(Block& b, int64_t at, int count = 1, int period = 1) const;
  // First cycle in which a feed meets what was loaded up to and including cycle last_load.
  int64_t InstallAt(int64_t last_load) const { return last_load + d(Opcode::kLw); }
  int64_t FeedAt(int64_t install) const { return install + d(Opcode::kIw); }
  int64_t ResultAt(int64_t feed) const { return feed + timing.mxm_array; }
  // Stores what ACC emitted in cycle `acc` (count of them, period apart) on quad `stream`.
  void StoreResult(Block& b, int stream, Quad dst, int64_t acc, int count = 1, int period = 1,
                   int stride = 1) const;
};

}  // namespace lockstep
