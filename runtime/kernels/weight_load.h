#pragma once
// Loads of a slot's weights into the buffer of a hemisphere's planes, as blocks of their own.

#include "runtime/kernels/matvec.h"

namespace lockstep {

// Loads slot `slot` of row tile `tile` not before cycle `load`: in one piece if that is possible at
// once, else around what takes single cycles. Returns the cycle after the last.
int64_t PlaceWeights(Placer& placer, const TandemPlanes& mxm, const char* name, const Matrix& m,
                     int tile, int slot, int64_t load);

}  // namespace lockstep
