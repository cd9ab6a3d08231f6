#pragma once
// Single instructions at single cycles, woven into queues: what Placer (runtime/block.h) is for
// kernels, without its rule that queues are held as a whole. Knows of each MEM slice which bank,
// port and dispatch is taken in which cycle.

#include <array>
#include <cstdint>
#include <vector>

#include "chip/program.h"

namespace lockstep {

class Weave {
 public:
  enum class Access : uint8_t { kRead, kWrite, kReceived };

  void At(int queue, const Instruction& instr, int64_t cycle) {
    items_[queue].push_back({cycle, instr});
  }
  // Whether the slice can do this access to word `address` in `cycle` beside what is taken.
  bool Free(int slice, Access access, int address, int64_t cycle) const;
  // REQUIRES: Free (checked: a schedule that collides is a bug).
  void Take(int slice, Access access, int address, int64_t cycle);

  // Instructions that follow each other evenly become REPEATs. REQUIRES: a cycle a queue once.
  Program Finish();

 private:
  struct Item {
    int64_t cycle;
    Instruction instr;
  };
  std::array<std::vector<Item>, kQueues> items_;
  std::array<std::vector<uint8_t>, kSlices> taken_;  // by cycle
};

}  // namespace lockstep
