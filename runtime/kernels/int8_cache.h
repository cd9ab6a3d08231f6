#pragma once
// What goes into an int8 KV cache (runtime/kernels/attention.h): keys and values as integers, one
// scale a position and KV head, as activations are quantised for int8 weights (int8_kernels.h).
//
//   m = max |x| of the head      q = round(x * (127 / m))      kept: m / 127 of keys, m of values
//
// The integers go where fp16 rows would; the scales into one lane each of a vector a key tile. As
// tile and lane are data, all tiles are read and written back, all lanes but the new ones as
// before.

#include "runtime/kernels/attention.h"

namespace lockstep {

struct Int8Cache {
  const ChipTiming& timing;
  Placer& placer;
  CacheShape shape;
  int batch = 1;  // positions: 1, 2, 4, 8 or 16
  int heads = 1;  // KV heads of a position

  // Where the new positions are, from the step's own (a vector each, in every lane). elsewhere: a
  // vector a tile: all bits in lanes of other positions. lanes: a vector a position of the batch:
  // not zero in its lane of whichever tile; for one position none. iota: attention's, in another
  // column.
  struct Masks {
    Quad elsewhere, lanes;
  };
  void Mask(Quad iota, Quad position, const Masks& masks);

  // For every head of every position, one after the other: maxima: two vectors of scratch; inverse:
  // a vector; scale: what is kept of it, in every lane. x, results and all three in different
  // columns.
  struct Scratch {
    Quad maxima, inverse, scale;
  };
  // k: key_slots() vectors a head, in both lane halves; bytes likewise.
  void QuantiseKeys(Pair k, const Scratch& at, Single bytes);
  // v: value_groups() vectors a head in lanes 0..159, zeros behind; integers: as fp16, in both
  // halves.
  void QuantiseValues(Pair v, const Scratch& at, Pair integers);

  // Puts the scales of KV head `head` into `kept`, a vector a tile. at.scale of the first position
  // is overwritten by all of the batch. kept, masks and at.scale in different columns.
  void KeepScales(const Scratch& at, int head, const Masks& masks, Quad kept);

 private:
  int count() const { return batch * heads; }
  // `vectors` of x a head. unit: of m, what is kept.
  void Scales(Pair x, int vectors, float unit, const Scratch& at);
};

}  // namespace lockstep
