#pragma once
// What blocks hold (runtime/kernels/block.h): cycles of one resource, and words of SRAM.

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "chip/geometry.h"

namespace lockstep {

// Cycles in which a resource is taken. Any order of calls.
class TakenCycles {
 public:
  // The first cycle at or after `from` that begins `length` free ones.
  int64_t FirstFree(int64_t from, int64_t length) const;
  // Takes from..to, both included. REQUIRES: they are free.
  void Take(int64_t from, int64_t to);

 private:
  std::vector<std::pair<int64_t, int64_t>> taken_;  // in order, neighbours joined
};

// `count` accesses to words of a slice: address, address + stride, ... at first, first + period,
// ... Each may reach `reach` words from its address (gather, scatter); an access of any of them
// counts.
struct SramAccess {
  int slice, address, stride, count;
  int64_t first;
  int period;
  int reach;
  bool write;
  bool mapped = false;  // gather, scatter
};

// When every word was last read and written, so that an access placed later in the order of blocks
// also happens later where one of the two writes.
class SramOrder {
 public:
  // How many cycles the access must at least be moved on to come after what was recorded.
  int64_t Delay(const SramAccess& access) const;
  // Records the access, moved on by `delay` cycles.
  void Record(const SramAccess& access, int64_t delay);

 private:
  struct Word {
    int64_t read = -1, written = -1;
  };
  std::array<std::vector<Word>, kSlices> words_;  // empty until a slice is used
};

}  // namespace lockstep
