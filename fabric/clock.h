#pragma once
// Clocks of many chips and how they are brought together (ISCA'22 section 3).
//
//   HAC  hardware-aligned counter, 0..251: a child steps it towards its parent's
//   SAC  software-aligned counter, same period: runs free; SAC - HAC is the drift
//
//   parent --- HAC0 ---> child: HAC1 += clamp(HAC0 + L - HAC1, +-max_step)     once an epoch
//
// Chips have oscillators of their own (plesiochronous). Time here is integer: cycles of the root's
// clock, and a child's lag behind its parent in 1e-9 cycle. Jitter exists in these experiments
// only: compiled runs see none, since receivers take a vector at its scheduled cycle.

#include <cstdint>
#include <vector>

#include "chip/latency.h"

namespace lockstep {

// A seeded stream of numbers (SplitMix64): the same on every host.
class SeededBits {
 public:
  explicit SeededBits(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  // Approximately normal, mean 0 and deviation 1, in 2^-16 (the sum of 12 uniform numbers).
  int64_t NormalQ16();

 private:
  uint64_t state_;
};

// The latency of a link as its ends see it: a rounded normal, drawn again outside [least, most].
struct JitterModel {
  int64_t mean_milli = 216'670;  // 1/1000 cycle; ISCA'22 Table 2, mean of seven means
  int64_t sigma_milli = 2'800;
  int64_t least = 209, most = 228;

  int64_t Sample(SeededBits& bits) const;
};

// What `iterations` of the characterisation show: counters differ modulo the period only.
struct Characterised {
  int64_t least = 0, most = 0;
  int64_t mean_milli = 0;  // rounded
  double variance = 0;     // of integers, exact sums: the same on every host
};
// `whole_epochs` * 252 more cycles of latency; they cannot be seen in the result.
Characterised Characterise(const JitterModel& jitter, int whole_epochs, int iterations,
                           uint64_t seed);

// Epochs from a parent's TRANSMIT, at an epoch boundary, to the boundary at which the child leaves
// its loop of DESKEW: the first one by which the notice has arrived.
int64_t StartEpochs(int64_t latency_cycles);

struct AlignmentSetup {
  int hops = 1;                  // depth of the chain of parents and children
  int64_t latency_cycles = 217;  // L as characterised
  std::vector<int> drift_ppm;    // by chip of the chain, root first; size hops + 1
  int64_t max_step_cycles = 1;   // of HAC, each epoch
  int epochs = 4000;
  int settle_epochs = 1000;  // not counted
  uint64_t seed = 1;
};

// |HAC of parent - HAC of child| after settling, largest over the hops, in cycles, rounded away
// from 0; and how long the first child took from half a period away.
struct Alignment {
  int64_t worst_cycles = 0;
  int64_t worst_to_root_cycles = 0;
  int64_t settled_after_epochs = 0;  // first epoch with an error within the jitter
  std::vector<int64_t> last_errors;  // parent - child, rounded, at the end
};
Alignment Align(const JitterModel& jitter, const AlignmentSetup& setup);

}  // namespace lockstep
