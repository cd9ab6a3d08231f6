#pragma once
// fp16 weights of a tile whose rows lie in SRAM as int8, two to a word of fp16. Each of the VXM's
// 16 ALUs converts a vector a cycle, which is what fills the 32 streams of a hemisphere: rows pass
// the VXM on their way and reach the planes as fast as fp16 rows do.
//
//   cycle      weight row     slices of the hemisphere     word
//   2 i        2 i            0..15                        address + i
//   2 i + 1    2 i + 1        16..31                       address + i
//
//   slice --int8, inward streams 16..31--> VXM --fp16, outward streams 0..31--> planes
//
// Row r of a lane half (matvec.h: stream pair r % 16, weight row r / 16) so lies in slice r % 32,
// word r / 32. The integers are exact in fp16.

#include "runtime/kernels/matvec.h"

namespace lockstep {

// Weight rows arrive at the planes in cycles at, at + 1, ... (`cycles` of them).
void StreamWidened(const TandemPlanes& mxm, Block& b, int address, int cycles, int64_t at);

}  // namespace lockstep
