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

std::optional<Fault> Fleet::Run(absl::Span<const Launches> launches, AtLaunch before,
                                AtLaunch after, Links links) {
  LOCKSTEP_CHECK(!stopped_, "a run after a fault");
  LOCKSTEP_CHECK(launches.size() == engines_.size(), "%d chips' launches for %d engines",
                 launches.size(), engines_.size());
  launches_ = launches;
  before_ = std::move(before), after_ = std::move(after);
  links_ = links;
  receives_.clear();
  progress_.assign(engines_.size(), {});
  for (const Launches& of_chip : launches) {
    const size_t followed = of_chip.size() - (links == Links::kEndEmpty && !of_chip.empty());
    for (size_t i = 0; i < followed; ++i) {
      const Schedule* schedule = of_chip[i].schedule.get();
      if (receives_.count(schedule) == 0) receives_[schedule] = ReceivesOf(*schedule);
    }
  }
  for (size_t i = 0; i < engines_.size(); ++i) {
    if (!launches[i].empty()) StartLaunch(static_cast<int>(i));
  }
  transport_->RunChips(*this);
  std::optional<Fault> fault = EarliestFault(*transport_, MyEarliest());
  stopped_ = fault.has_value();
  return fault;
}

std::optional<Fault> Fleet::Run(absl::Span<const std::shared_ptr<const Schedule>> schedules) {
  std::vector<Launches> launches;
  for (const auto& schedule : schedules) launches.push_back({{schedule, 0}});
  return Run(launches);
}

void Fleet::StartLaunch(int index) {
  Progress& progress = progress_[index];
  const std::shared_ptr<const Schedule>& schedule = launches_[index][progress.at].schedule;
  if (MoreFollows(index)) progress.left = receives_.at(schedule.get());
  if (before_) before_(index, progress.at);
  engines_[index]->Start(schedule);
}

ChipStep::Result Fleet::Step(int index, LinkPort& port) {
  Engine& engine = *engines_[index];
  const Launches& launches = launches_[index];
  Progress& progress = progress_[index];
  while (progress.at < launches.size()) {
    LaunchPort local(port, launches[progress.at].start,
                     MoreFollows(index) ? &progress.left : nullptr);
    switch (engine.Run(local)) {
      case EngineState::kBlocked:
        return {false, engine.blocked_link()};
      case EngineState::kFault:
        faulted_[index] = 1;
        return {true, 0};
      case EngineState::kDone:
        break;
    }
    if (after_) after_(index, progress.at);
    if (progress.at + 1 == launches.size()) break;
    ++progress.at;
    StartLaunch(index);
  }
  return {true, 0};
}

std::optional<Fault> Fleet::MyEarliest() const {
  std::optional<Fault> earliest;
  const auto consider = [&](Fault fault) {
    if (!earliest || fault.Before(*earliest)) earliest = std::move(fault);
  };
  for (size_t i = 0; i < engines_.size(); ++i) {
    if (!faulted_[i]) continue;
    Fault fault = engines_[i]->fault();
    fault.cycle += launches_[i][progress_[i].at].start;
    consider(std::move(fault));
  }
  // A chip that stopped on a fault cannot have received what came later; that is no second fault.
  if (links_ == Links::kMayHoldMore) return earliest;
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
