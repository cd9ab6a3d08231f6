#pragma once
// int8 weights: symmetric, one scale a row of the whole matrix.
//
//   scale = max |row| / 127      w8[k] = round(w[k] * 127 / max |row|), ties to even
//
// The row is that of the checkpoint, not of a chip's shard: so the integers are the model's and not
// the partition's, and chips differ in them by nothing but which columns they hold. Largest error:
// half a scale, 1/254 of the row's largest weight.

#include <cstdint>
#include <span>

namespace lockstep {

// Quantises a row into out (of its size) and returns its scale; a row of zeros has scale 0. In
// double precision, each operation rounded once: the same bits on every host. REQUIRES: all finite.
float QuantiseRow(std::span<const float> row, std::span<int8_t> out);

}  // namespace lockstep
