#pragma once
// A Fault: a rule of the machine that an emulated program broke. A value, never a behaviour: the
// chip stops, all chips stop, the earliest fault is reported.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "chip/isa.h"
#include "chip/types.h"

namespace lockstep {

enum class FaultKind : uint8_t {
  kBadInstruction,     // operand out of range, wrong queue, repeat of nothing, bad join
  kQueueEmpty,         // dispatch of an instruction whose text was not fetched yet
  kNeverReleased,      // sync without a later notify
  kBankConflict,       // two accesses to one SRAM bank in one cycle
  kPortConflict,       // two reads or two writes of one MEM slice in one cycle
  kStreamConflict,     // two writers on one diagonal at one position
  kStreamEmpty,        // read of a stream that holds nothing
  kBadAddress,         // gather or scatter outside the slice
  kBufferFull,         // weight row loaded twice before an install
  kBufferEmpty,        // feed of an activation entry that was never loaded
  kPlaneBusy,          // install and feed of one plane in one cycle, or feed before installed
  kPlaneEmpty,         // feed of a plane in which nothing is installed
  kNoResult,           // acc in a cycle in which no result leaves the array
  kTypeMismatch,       // acc, feed or install of another type than the plane holds
  kNotBijective,       // permute whose map is no permutation
  kLinkSlot,           // send while the link still serialises the vector before
  kLinkAbsent,         // send or receive on a link with no cable
  kReceiveEmpty,       // receive with no vector there
  kReceiveMissing,     // a vector that arrived and was never received
  kFifoOverflow,       // a vector that arrived at a full receive FIFO
  kUntested,           // a path that no test has opened yet
};
inline constexpr int kFaultKinds = static_cast<int>(FaultKind::kUntested) + 1;

absl::string_view FaultName(FaultKind kind);  // `bank conflict`

struct Fault {
  FaultKind kind;
  uint32_t chip = 0;
  int queue = 0;
  int64_t cycle = 0;
  Instruction instruction;  // as dispatched: strides applied
  std::string detail;       // which stream, bank, link, ...

  // `fault: bank conflict: chip3 mem7 @120: read 12,0,e5: <detail>`
  std::string ToString() const;
  // Order in which faults are reported: cycle, then chip, then queue.
  bool Before(const Fault& o) const {
    if (cycle != o.cycle) return cycle < o.cycle;
    if (chip != o.chip) return chip < o.chip;
    return queue < o.queue;
  }
};

}  // namespace lockstep
