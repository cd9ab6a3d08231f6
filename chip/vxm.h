#pragma once
// The VXM of the functional engine: one elementwise operation of 320 lanes a dispatch. Which ALU of
// the mesh does it makes no difference to the result, so the unit has no state.

#include "chip/core.h"

namespace lockstep {

class VxmUnit {
 public:
  explicit VxmUnit(Core& core) : core_(core) {}  // outlives this

  bool Binary(const Dispatched& d);
  bool Unary(const Dispatched& d);
  bool Convert(const Dispatched& d);

 private:
  Core& core_;
};

}  // namespace lockstep
