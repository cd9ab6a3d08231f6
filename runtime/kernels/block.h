#pragma once
// How kernels become a program: blocks of instructions, placed in order on a reservation table.
//
// A kernel writes its instructions into a Block at cycles relative to the block's start. A Placer
// puts each block at the earliest start at which everything it holds is free, be it before, between
// or after the blocks placed so far:
//   - queues: each run of dispatches, first to last; of MEM slices reads, writes and banks apart;
//   - streams: by diagonal, in each part of the chip from the producer's to the consumer's
//     (the VXM; each column next to it that holds activations; what lies outside of those);
//   - words of SRAM: an access comes after those of blocks placed before it, where one of the two
//     writes (a RECEIVE writes the slice that it names);
//   - holds, named resources beyond single dispatches (weight buffers, the order of a link, ...):
//   in
//     order of placement, never before a block placed earlier.

#include <array>
#include <cstdint>
#include <vector>

#include "chip/geometry.h"
#include "chip/latency.h"
#include "chip/program.h"
#include "runtime/kernels/reservations.h"

namespace lockstep {

// State that outlives single dispatches, a hemisphere each: of the MXM; and of the links beside it,
// whose vectors are received in the order in which they are sent.
enum class Hold : uint8_t { kWeightBuffer, kArray, kActivations, kAccumulators, kSends, kReceives };
inline constexpr int kActivationVectors = 64;  // of a hemisphere's activation buffer
inline constexpr int kNamedHolds = 6 * 2;
inline constexpr int kHolds = kNamedHolds + 2 * kActivationVectors;
constexpr int HoldIndex(Hold hold, Hemisphere h) {
  return static_cast<int>(hold) * 2 + static_cast<int>(h);
}
// A single vector of the activation buffer; Hold::kActivations holds them all.
constexpr int ActivationHold(Hemisphere h, int vector) {
  return kNamedHolds + static_cast<int>(h) * kActivationVectors + vector;
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
    bool shadow = false;
  };

  // Dispatches `instr` on `queue` at cycles first, first + period, ... (count of them). A shadow holds
  // all that the dispatch would, and is not dispatched: for what only some members of a group do, who
  // all must place their blocks in the same cycles.
  void At(int queue, const Instruction& instr, int64_t first, int count = 1, int period = 1,
          bool shadow = false) {
    if (count > 0) items_.push_back({queue, instr, first, count, period, shadow});
  }
  // Words of a slice of which any access of this block counts as one to all: where members of a group
  // have theirs in different cycles, and yet all must place the block in the same.
  struct Area {
    int slice, address, words;
    bool Has(const SramAccess& a) const {
      return a.slice == slice && a.address >= address && a.address < address + words;
    }
    bool InTwoBanks() const {
      return address / kWordsPerBank != (address + words - 1) / kWordsPerBank;
    }
  };
  void AsOne(const Area& area) { areas_.push_back(area); }
  const std::vector<Area>& areas() const { return areas_; }
  // Gathers and scatters of this block reach `words` words from their address, not all behind it.
  void Reach(int words) { reach_ = words; }
  // Holds resource `index` (HoldIndex, ActivationHold) from cycle `from` to cycle `to`, both
  // included. to = from - 1: only comes after those before it, and before those after it.
  void HoldFor(int index, int64_t from, int64_t to);

  const char* name() const { return name_; }
  const std::vector<Item>& items() const { return items_; }
  int reach() const { return reach_; }
  struct Held {
    int index;
    int64_t from, to;
  };
  const std::vector<Held>& holds() const { return holds_; }

 private:
  const char* name_;
  std::vector<Item> items_;
  std::vector<Held> holds_;
  std::vector<Area> areas_;
  int reach_ = kWordsPerSlice;
};

// What a placer answered, in the order in which it was asked.
using Placements = std::vector<int64_t>;

class Placer {
 public:
  // With `known`, which outlives it, it answers as the placer did whose placements() these are, and looks
  // for nothing: for members of a group, who all place the same blocks but for operands and shadows.
  explicit Placer(const ChipTiming& timing, const Placements* known = nullptr);

  // Places the block not before `earliest`; returns the cycle of its relative 0.
  int64_t Place(const Block& block, int64_t earliest = 0);
  // Where Place would put it.
  int64_t Find(const Block& block, int64_t earliest = 0);
  // A number that whoever places chose by earlier answers: `mine`, or what was chosen then.
  int64_t Agree(int64_t mine);
  const Placements& placements() const { return answers_; }

  // Where each block went, in order of placement: for reports and timelines.
  struct Span {
    const char* name;
    int64_t first, last;
  };
  const std::vector<Span>& spans() const { return spans_; }

  // The program: every queue in order, gaps as NOPs, runs as REPEATs, runs that continue each other
  // as one.
  Program Finish() const;

 private:
  struct Use {
    int resource;
    int64_t from, to;
  };
  // Everything a block holds, relative to its start.
  struct Needs {
    std::vector<Use> uses;
    std::vector<SramAccess> accesses;
  };
  Needs NeedsOf(const Block& block) const;
  static void Join(std::vector<Use>& uses);
  static void AddSliceUses(const SramAccess& access, std::vector<Use>& uses);
  void AddAccesses(const Block& block, std::vector<SramAccess>& out) const;
  static void Cover(const Block::Area& area, std::vector<SramAccess>& accesses);
  int64_t Find(const Block& block, const Needs& needs, int64_t earliest) const;
  int64_t Known();
  void Add(const Block& block, int64_t start);

  ChipTiming timing_;
  const Placements* known_;
  Placements answers_;
  std::vector<TakenCycles> taken_;  // by resource: queues, parts of streams
  std::array<int64_t, kHolds> frontier_{};
  SramOrder sram_;
  std::vector<Span> spans_;
  std::array<std::vector<Block::Item>, kQueues> queues_;
};

}  // namespace lockstep
