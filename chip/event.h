#pragma once
// What can be observed of a chip: runs that retired. Counters, timelines, digests and reports are
// observers of these; the machine itself prints nothing.

#include <cstdint>

#include "chip/isa.h"

namespace lockstep {

// A run of one instruction that has dispatched for the last time. Both engines report every run
// of a program, in the order of Schedule::runs, with the same numbers.
struct RunRetired {
  int32_t run;       // index in Schedule::runs
  int32_t queue;
  Opcode op;
  int64_t first;     // dispatch cycles
  int64_t last;
  int32_t count;
  // Sum, over dispatches and input streams, of the cycles the operand flowed since its producer put
  // it on the stream; for ACC the cycles since the feed; for RECEIVE those since the arrival.
  // Equal sums mean that both engines matched the same producers.
  int64_t operand_age;
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnRun(uint32_t chip, const RunRetired& run) = 0;
};

}  // namespace lockstep
