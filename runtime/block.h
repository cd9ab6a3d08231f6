#pragma once
// How kernels become a program: blocks of instructions, placed in order on a reservation table.
//
// A kernel writes its instructions into a Block at cycles relative to the block's start. A Placer
// puts each block at the earliest start at which everything it holds is free:
//   - queues: a block owns each of its queues from its first to its last dispatch there;
//   - streams: by diagonal, separately west of the VXM, at it, and east of it, from the producer's
//     part of the chip to the consumer's;
//   - named resources a kernel holds beyond its dispatches (weight buffers, arrays, ...).
// Everything is held in order of placement (a frontier, no back-filling). As each SRAM word is
// reached through its own slice's queue only, this order also keeps every read after the write it
// depends on; a RECEIVE counts as a dispatch of the slice that it writes.

#include <array>
#include <cstdint>
#include <vector>

#include "chip/geometry.h"
#include "chip/latency.h"
#include "chip/program.h"

namespace lockstep {

// State of the MXM that outlives single dispatches, a hemisphere each.
enum class Hold : uint8_t { kWeightBuffer, kArray, kActivations, kAccumulators };
inline constexpr int kHolds = 4 * 2;
constexpr int HoldIndex(Hold hold, Hemisphere h) {
  return static_cast<int>(hold) * 2 + static_cast<int>(h);
}

class Block {
 public:
  explicit Block(const char* name) : name_(name) {}

  struct Item {
    int queue;
    Instruction instr;
    int64_t first;  // relative to the block's start; may be negative, the placer normalises
    int32_t count;
    int32_t period;
  };

  // Dispatches `instr` on `queue` at cycles first, first + period, ... (count of them).
  void At(int queue, const Instruction& instr, int64_t first, int count = 1, int period = 1) {
    if (count > 0) items_.push_back({queue, instr, first, count, period});
  }
  // Holds resource `index` (HoldIndex) from cycle `from` to cycle `to`, both included.
  void HoldFor(int index, int64_t from, int64_t to) { holds_.push_back({index, from, to}); }

  const char* name() const { return name_; }
  const std::vector<Item>& items() const { return items_; }
  struct Held {
    int index;
    int64_t from, to;
  };
  const std::vector<Held>& holds() const { return holds_; }

 private:
  const char* name_;
  std::vector<Item> items_;
  std::vector<Held> holds_;
};

class Placer {
 public:
  explicit Placer(const ChipTiming& timing) : timing_(timing) {}

  // Places the block not before `earliest`; returns the cycle of its relative 0.
  int64_t Place(const Block& block, int64_t earliest = 0);

  // Places the block where nothing else is under way, and everything later after it: it holds the
  // whole chip in cycles from..to, relative. For chips whose blocks differ and still take the same
  // cycles. Returns the cycle of its relative 0.
  int64_t PlaceApart(const Block& block, int64_t from, int64_t to);

  // Where each block went: for reports and timelines.
  struct Span {
    const char* name;
    int64_t first, last;
  };
  const std::vector<Span>& spans() const { return spans_; }

  // The program: every queue in order, gaps as NOPs, runs as REPEATs.
  Program Finish() const;

 private:
  struct Use {
    int resource;
    int64_t from, to;
  };
  std::vector<Use> UsesOf(const Block& block) const;
  void Add(const Block& block, int64_t start);

  const ChipTiming timing_;
  std::vector<int64_t> frontier_;  // by resource; diagonals are offset to stay positive
  std::vector<Span> spans_;
  std::array<std::vector<Block::Item>, kQueues> queues_;
};

}  // namespace lockstep
