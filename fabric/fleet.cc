// Step() is called from the transport's threads, one chip at a time; all else from the caller's.
#include "fabric/fleet.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/queue.h"
#include "fabric/agreement.h"

namespace lockstep {

Fleet::Fleet(Transport* transport, std::vector<Engine*> engines)
    : transport_(transport), engines_(std::move(engines)), faulted_(engines_.size(), 0) {
  LOCKSTEP_CHECK(engines_.size() == transport_->chips().size(), "%d engines for %d chips",
                 engines_.size(), transport_->chips().size());
}

std::optional<Fault> Fleet::Run(absl::Span<const std::shared_ptr<const Schedule>> schedules) {
  LOCKSTEP_CHECK(!stopped_, "a run after a fault");
  LOCKSTEP_CHECK(schedules.size() == engines_.size(), "%d schedules for %d engines",
                 schedules.size(), engines_.size());
  for (size_t i = 0; i < engines_.size(); ++i) engines_[i]->Start(schedules[i]);
  transport_->RunChips(*this);
  std::optional<Fault> fault = EarliestFault(*transport_, MyEarliest());
  stopped_ = fault.has_value();
  return fault;
}

ChipStep::Result Fleet::Step(int index, LinkPort& port) {
  Engine& engine = *engines_[index];
  switch (engine.Run(port)) {
    case EngineState::kDone: return {true, 0};
    case EngineState::kBlocked: return {false, engine.blocked_link()};
    case EngineState::kFault: faulted_[index] = 1; return {true, 0};
  }
  LOCKSTEP_FAIL("engine of index %d is in no state", index);
}

std::optional<Fault> Fleet::MyEarliest() const {
  std::optional<Fault> earliest;
  const auto consider = [&](Fault fault) {
    if (!earliest || fault.Before(*earliest)) earliest = std::move(fault);
  };
  for (size_t i = 0; i < engines_.size(); ++i) {
    if (faulted_[i]) consider(engines_[i]->fault());
  }
  // A chip that stopped on a fault cannot have received what came later; that is no second fault.
  const absl::Span<const uint32_t> chips = transport_->chips();
  size_t i = 0;
  for (const Leftover& left : transport_->Leftovers()) {
    while (chips[i] != left.chip) ++i;
    if (faulted_[i]) continue;
    consider({.kind = FaultKind::kReceiveMissing,
              .chip = left.chip,
              .queue = C2cQueue(left.link),
              .cycle = left.arrival_cycle,
              .instruction = {},
              .detail = absl::StrCat("link ", left.link, " holds a vector nobody received")});
  }
  return earliest;
}

}  // namespace lockstep
