#pragma once
// The kernels of a transformer on one chip, each emitting blocks at the first free cycles.
//
// Vectors of fp32 are Quads, of fp16 Pairs (runtime/kernels/place.h). A "word" is a vector of 320
// lanes. All reductions have a fixed order. Every kernel is tested alone against double precision
// (tests/runtime/kernels_test.cc).

#include <optional>

#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/chain.h"
#include "runtime/kernels/matvec.h"
#include "runtime/kernels/place.h"

namespace lockstep {

// Vectors of a column that may be under way together from SRAM through one VXM operation and back to
// their own places: the first result is written when the last operand has been read.
int InPlace(const ChipTiming& timing, Opcode op, Quad at);

// Adds reads or writes of `count` vectors of q's column, in cycle `at` of the VXM but `hops` cycles
// later for each hop between it and a slice. instr: of the first slice; the others have the streams
// that follow.
void AccessColumn(Block& b, Quad q, Instruction instr, int64_t at, int hops, int count);

struct Kernels {
  const ChipTiming& timing;
  Placer& placer;

  // dst[i] = all 320 lanes of src[i] reduced, in every lane. src on any side, dst east or west.
  // Sum: a fixed tree down to classes of lanes 5 apart, then those five in an order that depends on
  // the lane, so that lanes of different classes may differ in the last bits.
  void LaneSum(Quad src, Quad dst, int words);
  void LaneMax(Quad src, Quad dst, int words);

  // Rotary embedding of vectors x, x + stride, ... (`words` of them) into y, y + stride, ...:
  // y = (x * cos + down(x) * sin_low + up(x) * sin_high) * scale, down/up moving by `distance`
  // lanes; the tables carry the signs and zeros (Hugging Face rotate_half). y as fp16.
  struct RotaryTables {
    Quad cos, sin_low, sin_high;
    RotaryTables operator+(int words) const {
      return {cos + words, sin_low + words, sin_high + words};
    }
  };
  void Rotary(Quad x, const RotaryTables& tables, int words, int distance, float scale, Pair y,
              int stride = 1);
  // The same for heads whose halves lie lane by lane in neighbours x + i * stride, x + i * stride +
  // 1: y = x * cos + neighbour * sin, sin being sin_low for the first and sin_high for the second.
  void RotaryAcross(Quad x, const RotaryTables& tables, int pairs, Pair y, int stride);

  // y = silu(gate) * up as fp16 on both sides; gate and up in different columns. `by`: gate and up
  // stand for themselves times one vector; it and its half lie in columns of their own.
  struct Factor {
    Quad whole, half;
    Factor operator+(int words) const { return {whole + words, half + words}; }
  };
  void SwiGlu(Quad gate, Quad up, int words, Pair west, Pair east,
              const std::optional<Factor>& by = std::nullopt);

  // y *= by, for vectors y, y + stride, ... (`words` of them) and by, by + by_stride, ...
  void Scale(Quad y, int stride, Quad by, int by_stride, int words);

  // A vector of a key (lanes 0..159) and a value (from lane 160 on): the key in both lane halves,
  // the value as fp16 in the lower one. low_half: all bits in lanes 0..159.
  void SplitKeyValue(Quad x, Quad low_half, Quad key, Pair value);

  // Elements 0 .. elements - 1 of `heads` vectors end to end, 320 a vector, on both sides. The
  // other lanes of x, which lies on both sides, are zero. `last`: the last vector's elements begin
  // in a lane beyond 0, and all other lanes are zero; mask: all bits in its lanes.
  struct LastHeads {
    int lane = 0;
    Pair mask{};
  };
  void PackHeads(const Pair x[2], int heads, int elements, Pair west, Pair east,
                 const LastHeads& last);

  // y = x as fp16, on y's side.
  void ToHalf(Quad x, int words, Pair y);
  // y = a + b.
  void Add(Quad a, Quad b, int words, Quad y);

  // bias[i] lanes = 0 where iota[i] <= position, else -1e30. position: one vector.
  void MaskBias(Quad iota, Quad position, int words, Quad bias);

  // Row `map` of a table, word w of a row lying in weight slice pair w % 16 at
  // address + (w / 16) * rows + map, as fp32. A map of 0xffff reads zeros.
  void GatherRow(Hemisphere side, int address, int rows, Single map, int words, Quad y);
};

}  // namespace lockstep
