#pragma once
// One end of a link, sending. Sends start on whole cycles, a vector occupies the link for a fraction
// more than 23 of them: it is taken in the cycle in which the link becomes free and leaves when it is,
// so that vectors can follow each other without a gap.
//
//   send @0        send @23            send @47
//   |--- 23.616 ---|--- 23.616 ---|--- 23.616 ---|        start = max(cycle, when the link is free)

#include <cstdint>

#include "chip/latency.h"
#include "chip/progression.h"

namespace lockstep {

struct LinkSerialiser {
  int64_t free_ticks = 0;  // in 1/125 cycle from the program's start

  // Whether a send in `cycle` is legal.
  bool Takes(int64_t cycle) const { return free_ticks < (cycle + 1) * kTicksPerCycle; }
  // Ticks that a vector sent in `cycle` waits for the one before it; 0..124 where Takes(cycle).
  int64_t Wait(int64_t cycle) const {
    const int64_t wait = free_ticks - cycle * kTicksPerCycle;
    return wait > 0 ? wait : 0;
  }
  // First cycle in which a send is legal.
  int64_t NextCycle() const { return free_ticks / kTicksPerCycle; }

  // Sends in `cycle`; returns when the first bit leaves. REQUIRES: Takes(cycle).
  int64_t Send(int64_t cycle, int64_t vector_ticks) {
    const int64_t start = cycle * kTicksPerCycle + Wait(cycle);
    free_ticks = start + vector_ticks;
    return start;
  }
  // Sends in all cycles of a progression; returns the index of the first refused one (and has sent
  // those before it), or -1. A wait changes by the same amount each time until it is used up.
  int64_t SendAll(const Progression& cycles, int64_t vector_ticks) {
    if (!Takes(cycles.first)) return 0;
    const int64_t wait = Wait(cycles.first);
    const int64_t growth = vector_ticks - cycles.period * kTicksPerCycle;
    const int64_t refused =
        growth > 0 ? (kTicksPerCycle - wait + growth - 1) / growth : cycles.count;
    const int64_t last = (refused < cycles.count ? refused : cycles.count) - 1;
    const int64_t last_wait = wait + last * growth;
    free_ticks = cycles.at(last) * kTicksPerCycle + (last_wait > 0 ? last_wait : 0) + vector_ticks;
    return refused < cycles.count ? refused : -1;
  }
};

}  // namespace lockstep
