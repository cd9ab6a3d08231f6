#pragma once
// What a program does on any chip, worked out once: all on-chip rules checked by interval
// arithmetic over runs, operand ages summed, link operations listed.
//
//   Schedule --ProgramCheck--> ages, link operations, faults that depend on the text alone
//      + MxmState --Verdict--> the earliest on-chip fault, and the MxmState afterwards
//
// Chips in the same role share one program, so they share its check through a CheckCache; what
// is left for each chip is a walk over its link operations (chip/timing.h).

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "chip/geometry.h"
#include "chip/latency.h"
#include "chip/program.h"
#include "chip/timing_fault.h"
#include "chip/timing_mxm.h"

namespace lockstep {

// A run of send, transmit or receive.
struct LinkRun {
  int32_t run;      // of Schedule::runs
  int32_t receive;  // counts the receives of the program in run order; -1: not one
};

struct ProgramCheck {
  uint64_t schedule_hash = 0;  // chip/digest.h
  std::vector<int64_t> ages;   // by run: sum of operand ages; receives excepted
  std::array<std::vector<LinkRun>, kC2cLinks> links;  // in order of dispatch
  std::array<int64_t, kC2cLinks> vectors_received{};
  int32_t receives = 0;  // runs of receive
  MxmRuns mxm;
  std::optional<FoundFault> fault;  // earliest that does not depend on the MXM's state
};

ProgramCheck CheckProgram(const Schedule& schedule, const ChipTiming& timing);

// One execution from a given MXM state.
struct Verdict {
  std::shared_ptr<const ProgramCheck> program;
  std::optional<FoundFault> fault;        // earliest of all on-chip faults
  std::shared_ptr<const MxmState> after;  // what the next execution starts from
};

// Remembers checks by schedule and by MXM state (which settles after the first execution).
// Not synchronised: one a thread, unless who derives from it locks. Forgets schedules that nobody
// else holds any more.
class CheckCache {
 public:
  explicit CheckCache(const ChipTiming& timing) : timing_(timing) {}
  virtual ~CheckCache() = default;

  virtual std::shared_ptr<const Verdict> Check(const std::shared_ptr<const Schedule>& schedule,
                                               const std::shared_ptr<const MxmState>& before);
  const ChipTiming& timing() const { return timing_; }
  // Takes over what CheckProgram said of a schedule, so that Check need not ask.
  void Remember(const std::shared_ptr<const Schedule>& schedule,
                std::shared_ptr<const ProgramCheck> program);
  size_t size() const { return entries_.size(); }  // schedules remembered

 private:
  struct Seen {
    std::shared_ptr<const MxmState> before;
    std::shared_ptr<const Verdict> verdict;
  };
  struct Entry {
    std::shared_ptr<const Schedule> schedule;
    std::shared_ptr<const ProgramCheck> program;
    std::vector<Seen> known;
  };
  Entry* Known(const std::shared_ptr<const Schedule>& schedule);
  Entry& Find(const std::shared_ptr<const Schedule>& schedule);

  const ChipTiming timing_;
  std::vector<Entry> entries_;
};

}  // namespace lockstep
