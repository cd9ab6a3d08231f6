#pragma once
// The outside of a chip on its own: no link has a cable.

#include "chip/port.h"

namespace lockstep {

class NoLinks : public LinkPort {
 public:
  bool IsCabled(int) const override { return false; }
  void Send(int, int64_t, const Vector*) override {}
  void Transmit(int, int64_t) override {}
  Poll Peek(int, Arrival*) override { return Poll::kNever; }
  void Pop(int) override {}
};

}  // namespace lockstep
