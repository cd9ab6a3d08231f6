#pragma once
// Attention of one KV head and the query heads that share it, with the KV cache in SRAM.
//
//   keys    K as the weights of a tile: row = position, so that scores = K q. Position t is row
//           t % 320 of tile t / 320 (chip side: runtime/matvec.h's tile layout, one slot).
//   values  V transposed: row = element, lane = position of a block of 160; in lanes 160..319 of the
//           same words stand ones, so that rows 160.. give the sum of the probabilities: numerator
//           and denominator of the softmax come out of one product.
//
// One program serves every position: where the new key and value go, and what is masked, is data
// (maps, one-hot vectors and the mask bias), written by the host before each step.

#include "runtime/kernels.h"

namespace lockstep {

// Weight rows of the cache of one KV head.
struct CacheShape {
  int context;   // positions
  int head_dim;  // <= 160

  int key_tiles() const { return CeilDiv(context, kTileRows); }
  int key_tile_cycles(int tile) const {
    return TileCycles(std::min(kTileRows, context - tile * kTileRows));
  }
  int key_rows() const {
    return (key_tiles() - 1) * (kHalfLanes / 16) + key_tile_cycles(key_tiles() - 1);
  }
  int blocks() const { return CeilDiv(context, kHalfLanes); }
  int block_rows() const { return std::max(2, CeilDiv(head_dim, 16)); }
  int value_rows() const { return blocks() * block_rows(); }
};

struct Attention {
  const ChipTiming& timing;
  Placer& placer;
  CacheShape shape;
  Hemisphere side;

  // Stores key `k` (fp16, the head in lanes 0.. and again in lanes 160..). maps: 16 vectors, one a
  // weight slice pair: row offset where the new key's row lies in that pair, else 0xffff.
  void AppendKey(Pair k, Single maps, int key_address);

  // Writes value `v` (fp16, lanes 0..head_dim-1) to the lane where `one_hot` (fp16 lanes, all bits
  // set or none) says; the other lanes keep theirs, so a cache can be filled anew. identity:
  // head_dim vectors, vector d has all bits set in lane d. ones: a weight row whose 32 words are
  // fp16 ones in lanes 0..159. map_read, map_write: the block's row offset.
  struct ValueTables {
    Pair identity, one_hot;
    int ones_address;
    Single map_read, map_write;
  };
  void AppendValue(Pair v, const ValueTables& tables, int value_address);

  // scores[h * key_tiles + tile], h = 0..heads-1. Head h's query is slot first_slot + h of q.
  void Scores(Pair q, int first_slot, int heads, int key_address, Quad scores);

  // p = exp(scores + bias - max) as fp16, max over all positions of the head. bias: a vector a tile.
  // maxima: 2 * heads vectors of scratch. scores, bias, maxima in different columns.
  void Softmax(Quad scores, Quad bias, Quad maxima, int heads, Pair p);

  // out[h] lanes 0.. = sum p v, lanes 160.. = sum p.
  void Weigh(Pair p, int heads, int value_address, Quad out);

  // y = numerator / denominator, as fp16 on both sides; low_half: all bits in lanes 0..159.
  void Normalise(Quad weighed, Quad low_half, int heads, Pair west, Pair east);
};

}  // namespace lockstep
