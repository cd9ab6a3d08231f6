// Order of the faults of one execution (chip/timing_fault.h).
#include "chip/timing_fault.h"

#include <utility>

namespace lockstep {

int FaultRank(FaultKind kind) {
  switch (kind) {
    case FaultKind::kBadInstruction:
    case FaultKind::kNeverReleased: return 0;
    case FaultKind::kQueueEmpty: return 0;
    case FaultKind::kLinkAbsent: return 1;
    case FaultKind::kLinkSlot: return 2;
    case FaultKind::kReceiveEmpty: return 3;
    case FaultKind::kFifoOverflow: return 4;
    case FaultKind::kPortConflict: return 5;
    case FaultKind::kBankConflict: return 6;
    case FaultKind::kStreamEmpty: return 7;
    case FaultKind::kBufferEmpty:
    case FaultKind::kBufferFull: return 8;
    case FaultKind::kPlaneBusy: return 9;
    case FaultKind::kPlaneEmpty: return 10;
    case FaultKind::kNoResult: return 11;
    case FaultKind::kTypeMismatch: return 12;
    case FaultKind::kBadAddress:
    case FaultKind::kNotBijective: return 13;
    case FaultKind::kStreamConflict: return 14;
    case FaultKind::kReceiveMissing:
    case FaultKind::kUntested: return 15;
  }
  return 15;
}

Fault FoundFault::ToFault(const Schedule& schedule, uint32_t chip) const {
  const Run& r = schedule.runs[run];
  return {kind, chip, r.queue, cycle, InstructionAt(r, iteration), detail};
}

void EarliestFault::Offer(FaultKind kind, int32_t run, int64_t iteration, std::string detail) {
  Offer(kind, run, iteration, Phase::kDispatch, schedule_.runs[run].cycle(iteration),
        std::move(detail));
}

void EarliestFault::Offer(FaultKind kind, int32_t run, int64_t iteration, Phase phase,
                          int64_t cycle, std::string detail) {
  const Run& r = schedule_.runs[run];
  const DispatchPlace place{cycle, r.queue, phase, r.index, FaultRank(kind)};
  if (found_ && !(place < found_->place)) return;
  found_ = FoundFault{place, kind, run, iteration, cycle, std::move(detail)};
}

}  // namespace lockstep
