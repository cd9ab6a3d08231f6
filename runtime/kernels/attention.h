#pragma once
// Attention of one KV head and the query heads that share it, with the KV cache in SRAM, for one
// position or for a batch of consecutive ones.
//
//   keys    K as the weights of a tile: row = position, so that scores = K q. Position t is row
//           t % 320 of tile t / 320 (chip side: runtime/kernels/matvec.h's tile layout). A head
//           wider than a slot of the array (160) takes several slots, each with tiles of its own;
//           scores add up.
//   values  V transposed: row = element, lane = position of a block of 160; in lanes 160..319 of
//   the
//           same words stand ones, so that rows 160.. give the sum of the probabilities: numerator
//           and denominator of the softmax come out of one product. Elements go by groups of 160.
//
// In int8 rows are integers times a scale of their position (runtime/kernels/int8_cache.h), and lie
// two to a word of fp16: row r in slice r % 32, word r / 32 of a tile. They are widened on their
// way to the planes (runtime/kernels/widen.h), so that products stay fp16. A block of values is 320
// positions then, the lower 160 in lanes 0..159; queries meet one half after the other, each with
// sums of its own, and the denominator is summed over lanes.
//
// One program serves every position: where new keys and values go, and what is masked, is data
// (maps, one-hot vectors and the mask bias), written by the host before each step. A batch begins
// at a multiple of its size, so its keys fall into one weight row, and its values into one block.
//
// "Queries" are counted position by position: query i is head i % heads of position i / heads.

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/tile_loop.h"

namespace lockstep {

// Weight rows of the cache of one KV head.
struct CacheShape {
  int context;   // positions
  int head_dim;  // elements, at least 1
  NumberFormat format = NumberFormat::kFp16;

  bool int8() const { return format == NumberFormat::kInt8; }
  // Words of a slice that hold what comes in `cycles` cycles.
  int words_of(int cycles) const { return int8() ? CeilDiv(cycles, 2) : cycles; }
  // Rows of a tile that lie side by side in one word of all slices.
  int rows_a_word() const { return int8() ? kWeightSlices : kWeightSlices / 2; }

  // Slots of a head's query and key. A wide head has its lower half in even slots, its upper in odd
  // ones: elements that rotary embedding turns together stand in the same lane of neighbours.
  int key_slots() const {
    return head_dim <= kHalfLanes ? 1 : 2 * CeilDiv(CeilDiv(head_dim, 2), kHalfLanes);
  }
  // The element in lane 0..159 of a slot, or -1.
  int KeyElement(int slot, int lane) const;
  // How many elements a slot holds at most.
  int slot_elements(int slot) const {
    if (key_slots() == 1) return head_dim;
    return std::min(kHalfLanes, CeilDiv(head_dim, 2) - slot / 2 * kHalfLanes);
  }
  // Lanes, in a pair of slots, between elements that rotate together.
  int rotary_distance() const { return key_slots() == 1 ? head_dim / 2 : kHalfLanes; }
  // Tables of rotary embedding: one a pair of slots.
  int rotary_tables() const { return CeilDiv(key_slots(), 2); }
  int key_tiles() const { return CeilDiv(context, kTileRows); }
  int key_tile_cycles(int tile) const {
    return TileCycles(std::min(kTileRows, context - tile * kTileRows));
  }
  int key_tile_row(int tile) const { return tile * words_of(kHalfLanes / 16); }
  // Of one slot, and of all slots, one slot after the other.
  int key_slot_rows() const {
    return key_tile_row(key_tiles() - 1) + words_of(key_tile_cycles(key_tiles() - 1));
  }
  int key_rows() const { return key_slots() * key_slot_rows(); }

  // Groups of a value's elements, in their own order.
  int value_groups() const { return CeilDiv(head_dim, kHalfLanes); }
  int group_elements(int group) const {
    return std::min(kHalfLanes, head_dim - group * kHalfLanes);
  }
  // Lane halves of positions, and how many of them a block holds.
  int halves() const { return CeilDiv(context, kHalfLanes); }
  int block_halves() const { return int8() ? 2 : 1; }
  int block_positions() const { return block_halves() * kHalfLanes; }
  int blocks() const { return CeilDiv(context, block_positions()); }
  int block_rows() const { return words_of(TileCycles(group_elements(0))); }
  int group_rows() const { return blocks() * block_rows(); }
  // All groups, one after the other.
  int value_rows() const { return value_groups() * group_rows(); }
  // Of the tile through which new values are transposed: row = position in its block.
  int transpose_rows() const { return TileCycles(std::min(block_positions(), context)); }
};

// Of an int8 cache: a vector a key tile, the scale of each position in its lane; of keys a 127th of
// the largest element, of values the largest itself, so that fp16 holds its product with p.
struct CacheScales {
  Quad keys, values;
};

inline constexpr int kTransposeMaps = kWeightSlices / 2;  // of Attention::AppendValue

struct Attention {
  const ChipTiming& timing;
  Placer& placer;
  CacheShape shape;
  Hemisphere side;
  int batch = 1;  // positions: 1, 2, 4, 8 or 16

  // Stores a key a position (fp16; int8: in the one slice k): slot j of position b is vector
  // k + b * stride + j, its elements in lanes 0.. and again in lanes 160... maps: a vector a pair
  // of weight slices (int8: a slice), in order: offset of the row that takes a key there, else
  // 0xffff. The i-th takes position i % batch.
  void AppendKey(Pair k, int stride, Single maps, int key_address);

  // Writes values (fp16; group g of position b is vector v + b * stride + g, lanes 0..159; int8:
  // integers, again in lanes 160..) to the lanes where `one_hot` (fp16 lanes, all bits set or none)
  // says; other lanes keep theirs, so a cache can be filled anew. identity: min(head_dim, 160)
  // vectors, vector e has 1.0 in lane e. transpose_maps: 16, as AppendKey's maps of a tile of one
  // block's positions at weight row transpose_row, which it uses as scratch. map_read, map_write:
  // the block's row offset.
  struct ValueTables {
    Pair identity, one_hot;
    int transpose_row;
    Single transpose_maps, map_read, map_write;
  };
  void AppendValue(Pair v, int stride, const ValueTables& tables, int value_address);

  // The largest score of each lane, the mask added, of a position's queries: where to, a vector a
  // query. bias: a vector a tile.
  struct MaskedLargest {
    Quad bias, maxima;
  };
  // scores[i * key_tiles + tile] of query i. Head h of position b is slots first_slot + h *
  // key_slots .. of vectors q + b * stride .., two slots a vector. first_slot: a multiple of
  // key_slots. largest: of one position's queries, found as scores come where that can be: then
  // true.
  bool Scores(Pair q, int stride, int first_slot, int heads, int key_address, Quad scores,
              const std::optional<MaskedLargest>& largest = std::nullopt);

  // p = exp(scores + bias - max) as fp16, max over all positions of the query. bias: a vector a
  // tile for each position of the batch. maxima: two vectors a query of scratch. scores, bias,
  // maxima in different columns. found: maxima has the largest of each lane.
  void Softmax(Quad scores, Quad bias, Quad maxima, int heads, Pair p, bool found = false);
  // The same for an int8 cache: scores are multiplied by the scales of keys, p by those of values;
  // sums: the sum over all positions before that, in every lane, a vector a query. maxima: three
  // vectors a query. scores, bias, maxima, p and the scales in different columns.
  void ScaledSoftmax(Quad scores, Quad bias, const CacheScales& scales, Quad maxima, int heads,
                     Pair p, Quad sums);

  // Query (b, h), group g: vector b * stride + h * value_groups + g. out: sum p v in lanes 0.., sum
  // p in lanes 160... int8: out has the sum over the lower halves of blocks in lanes 0.., `upper`
  // (in another column) that over the upper ones in lanes 160...
  void Weigh(Pair p, int heads, int value_address, Quad out, int stride, Quad upper = {});

  // y = numerator / denominator of `count` vectors, as fp16 on both sides; low_half: all bits in
  // lanes 0..159.
  void Normalise(Quad weighed, Quad low_half, int count, Pair west, Pair east);
  // The same of ScaledSoftmax's sums and Weigh's halves of an int8 cache, for `heads` queries of
  // each position. sums in another column.
  void NormaliseHalves(Quad weighed, Quad upper, Quad sums, Quad low_half, int heads, int stride,
                       Pair west, Pair east);

 private:
  // Consecutive query heads of one position, as they lie in the activation buffer.
  struct Chunk {
    int position, first_head, heads;
    int vector, vectors;  // of the position's query
    int entry;            // slot in the buffer of the first head's first slot
  };
  void Largest(Quad scores, Quad bias, Quad maxima, int heads);
  bool KeepLargest(Block& b, const std::vector<int64_t>& at, int queries,
                   const MaskedLargest& to) const;
  bool LargestOf(int first, int queries, Quad scores, Quad bias, Quad maxima);
  std::vector<std::vector<Chunk>> ScoreGroups(int first_slot, int heads) const;
  bool ScoreGroup(const std::vector<Chunk>& group, Pair q, int stride, int heads, int key_address,
                  Quad scores, const std::optional<MaskedLargest>& largest);
  // planes: 2 for fp16, 1 for bytes.
  void AppendRows(const char* name, Pair rows, int stride, Single maps, int address, int planes);
  void MergeValues(const ValueTables& tables, int elements, int address);
  void WeighGroup(Pair p, int first, int count, int heads, int group, int value_address,
                  const std::array<Quad, 2>& out, int stride);
};

}  // namespace lockstep
