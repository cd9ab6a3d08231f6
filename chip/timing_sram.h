#pragma once
// The port and bank rules of the MEM slices over whole runs (docs/machine.md, MEM).
//
// An access is a progression of cycles in which a run holds one port of a slice (read or write)
// and one or both of its banks. A run whose stride leaves a bank becomes two accesses.

#include <cstdint>
#include <vector>

#include "chip/geometry.h"
#include "chip/progression.h"
#include "chip/timing_fault.h"

namespace lockstep {

class SramCheck {
 public:
  // read, write, gather, scatter of queue run.queue, or a receive, which accesses `delay` cycles
  // after its dispatch.
  void Add(const Run& run, int32_t id, int64_t delay);
  void Check(const Schedule& schedule, EarliestFault& faults);

 private:
  struct Access {
    Progression cycles;
    int32_t run = 0;
    int32_t first_iteration = 0;  // of the run, at cycles.first
    uint8_t banks = 0;            // bit b: bank b
    bool write = false;
    bool receive = false;
  };

  void OfferConflict(const Schedule& schedule, const Access& a, const Access& b,
                     EarliestFault& faults) const;

  std::vector<Access> slices_[kSlices];
};

}  // namespace lockstep
