#pragma once
// Single instructions at single cycles, woven into queues: what Placer (runtime/kernels/block.h) is
// for kernels, without its rule that queues are held as a whole. Knows of each MEM slice which
// bank, port and dispatch is taken in which cycle, and of each link whether its queue dispatches.
// Memory grows with the stretches of cycles that are used, not with the length of the program.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "chip/program.h"
#include "chip/queue.h"

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
  // The same for the dispatch of link `link`'s queue, which sends and receives share.
  bool LinkFree(int link, int64_t cycle) const {
    return cycle >= 0 && (Taken(kSlices + link, cycle) & 1) == 0;
  }
  void TakeLink(int link, int64_t cycle);

  // Instructions that follow each other evenly become REPEATs. REQUIRES: a cycle a queue once.
  Program Finish();

 private:
  struct Item {
    int64_t cycle;
    Instruction instr;
  };
  static constexpr int64_t kPage = 256;  // cycles
  using Page = std::array<uint8_t, kPage>;

  uint8_t Taken(int unit, int64_t cycle) const {
    const auto& pages = taken_[unit];
    const size_t page = static_cast<size_t>(cycle / kPage);
    return page < pages.size() && pages[page] ? (*pages[page])[cycle % kPage] : 0;
  }
  void Mark(int unit, int64_t cycle, uint8_t bits);

  std::array<std::vector<Item>, kQueues> items_;
  // Bits by slice, then by link, by cycle.
  std::array<std::vector<std::unique_ptr<Page>>, kSlices + kC2cLinks> taken_;
};

}  // namespace lockstep
