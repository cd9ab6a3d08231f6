#pragma once
// The first fault of an execution, found in any order (docs/machine.md, "Which fault").
//
// The timing engine checks one resource after the other, each over the whole program. What makes
// the answer that of a walk cycle by cycle: every broken rule is offered with its place in that
// walk, and the least place wins. A rule checked against state that an earlier fault would have
// changed may be offered wrongly, but only at later places.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "chip/fault.h"
#include "chip/program.h"

namespace lockstep {

// What acts in one cycle for one queue, in this order.
enum class Phase : uint8_t { kReceiveAccess, kSecondFetch, kDispatch };

struct DispatchPlace {
  int64_t cycle = 0;  // in which it acts
  int32_t queue = 0;
  Phase phase = Phase::kDispatch;
  int32_t index = 0;  // of the instruction in its queue
  int32_t rank = 0;   // FaultRank of what is broken
  auto operator<=>(const DispatchPlace&) const = default;
};

// Which of several faults of one dispatch is charged: the least rank.
int FaultRank(FaultKind kind);

struct FoundFault {
  DispatchPlace place;
  FaultKind kind = FaultKind::kUntested;
  int32_t run = 0;  // of Schedule::runs
  int64_t iteration = 0;
  int64_t cycle = 0;  // to be reported
  std::string detail;

  Fault ToFault(const Schedule& schedule, uint32_t chip) const;
};

// Keeps the earliest of the faults offered.
class EarliestFault {
 public:
  explicit EarliestFault(const Schedule& schedule) : schedule_(schedule) {}

  // At dispatch `iteration` of a run, or at `phase` in cycle `cycle` if it acts later.
  void Offer(FaultKind kind, int32_t run, int64_t iteration, std::string detail);
  void Offer(FaultKind kind, int32_t run, int64_t iteration, Phase phase, int64_t cycle,
             std::string detail);
  const std::optional<FoundFault>& found() const { return found_; }

 private:
  const Schedule& schedule_;
  std::optional<FoundFault> found_;
};

}  // namespace lockstep
