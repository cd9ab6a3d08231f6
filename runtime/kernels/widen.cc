// Reads and conversions of int8 rows (runtime/kernels/widen.h).
#include "runtime/kernels/widen.h"

#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {

void StreamWidened(const TandemPlanes& mxm, Block& b, int address, int cycles, int64_t at) {
  constexpr int kAlus = kWeightSlices / 2;
  const int first = StreamNumber(Inward(mxm.side), kStreamsPerDirection - kAlus);
  const int64_t convert = at - Hops(kVxm, mxm.position()) - mxm.d(Opcode::kConvert);
  for (int i = 0; i < kAlus; ++i) {
    b.At(VxmQueue(i), ops::Convert(kTypeI8, kTypeF16, first + i, mxm.InStream(2 * i)), convert,
         cycles);
    for (int odd = 0; odd < std::min(2, cycles); ++odd) {
      const int slice = WeightSlice(mxm.side, odd * kAlus + i);
      const int64_t read = convert + odd - Hops(SlicePosition(slice), kVxm) - mxm.d(Opcode::kRead);
      b.At(MemQueue(slice), ops::Read(address, 1, first + i), read, (cycles + 1 - odd) / 2, 2);
    }
  }
}

}  // namespace lockstep
