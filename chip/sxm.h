#pragma once
// The two SXMs of the functional engine: they move elements between lanes. Elements of 1, 2 or 4
// bytes move as one, so groups stay native arrays. No state.

#include "chip/core.h"

namespace lockstep {

class SxmUnit {
 public:
  explicit SxmUnit(Core& core) : core_(core) {}  // outlives this

  bool Shift(const Dispatched& d);
  bool Select(const Dispatched& d);
  bool Permute(const Dispatched& d);
  bool Distribute(const Dispatched& d);
  bool Rotate(const Dispatched& d);
  bool Transpose(const Dispatched& d);

 private:
  // The width operand; 0 after a fault.
  int Width(const Dispatched& d);

  Core& core_;
};

}  // namespace lockstep
