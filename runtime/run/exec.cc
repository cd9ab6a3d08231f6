// Dispatch, run, look (runtime/run/exec.h).
#include "runtime/run/exec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/functional.h"
#include "chip/timing.h"
#include "fabric/fleet.h"
#include "fabric/local_fabric.h"
#include "runtime/run/timeline.h"

namespace lockstep {
namespace {

absl::Status CheckSetup(const ExecSetup& setup) {
  if (setup.programs.empty() || setup.programs.size() != setup.wiring.chips()) {
    return absl::InvalidArgumentError(
        absl::StrCat(setup.programs.size(), " programs for ", setup.wiring.chips(), " chips"));
  }
  if (setup.runs < 1 || setup.runs > kMaxExecRuns) {
    return absl::InvalidArgumentError(
        absl::StrCat("runs = ", setup.runs, ", expected 1..", kMaxExecRuns));
  }
  return absl::OkStatus();
}

// The machine: an engine a chip, and what it is to run.
class Machine {
 public:
  Machine(const ExecSetup& setup, LocalFabric& fabric)
      : setup_(setup), recorder_(static_cast<int>(setup.programs.size()), 1) {
    std::vector<Engine*> engines;
    for (uint32_t chip = 0; chip < setup.programs.size(); ++chip) {
      if (setup.engine == EngineKind::kFunctional) {
        functional_.push_back(std::make_unique<FunctionalEngine>(chip, setup.timing, &recorder_));
        engines_.push_back(functional_.back().get());
        for (const SramWord& word : setup.programs[chip].words) {
          functional_.back()->sram().Store(word.slice, word.address, word.value);
        }
      } else {
        timing_.push_back(std::make_unique<TimingEngine>(chip, setup.timing, &recorder_));
        engines_.push_back(timing_.back().get());
      }
    }
    fleet_ = std::make_unique<Fleet>(&fabric, engines_);
  }

  std::optional<Fault> Run() {
    std::optional<Fault> fault;
    for (uint32_t chip = 0; chip < setup_.programs.size(); ++chip) {
      DispatchResult made = Dispatch(setup_.programs[chip].program, setup_.timing, {.chip = chip});
      if (made.fault && (!fault || made.fault->Before(*fault))) fault = made.fault;
      schedules_.push_back(std::make_shared<const Schedule>(std::move(made.schedule)));
    }
    for (int run = 0; run < setup_.runs && !fault; ++run) fault = fleet_->Run(schedules_);
    return fault;
  }

  std::vector<ExecChip> Chips() {
    std::vector<ExecChip> chips(engines_.size());
    for (size_t i = 0; i < chips.size(); ++i) {
      chips[i].schedule = schedules_[i];
      chips[i].digest = engines_[i]->timing_digest();
      if (functional_.empty()) continue;
      for (const SramDump& dump : setup_.programs[i].dumps) {
        for (int a = dump.address; a < dump.address + dump.count; ++a) {
          chips[i].values.push_back({dump.slice, a, functional_[i]->sram().Load(dump.slice, a)});
        }
      }
    }
    for (const ChipEvent& event : recorder_.Take()) chips[event.chip].retired.push_back(event.run);
    return chips;
  }

 private:
  const ExecSetup& setup_;
  TimelineRecorder recorder_;
  std::vector<std::unique_ptr<FunctionalEngine>> functional_;
  std::vector<std::unique_ptr<TimingEngine>> timing_;
  std::vector<Engine*> engines_;
  std::vector<std::shared_ptr<const Schedule>> schedules_;
  std::unique_ptr<Fleet> fleet_;
};

}  // namespace

absl::StatusOr<ExecResult> Execute(const ExecSetup& setup) {
  RETURN_IF_ERROR(CheckSetup(setup));
  ASSIGN_OR_RETURN(const std::unique_ptr<LocalFabric> fabric, LocalFabric::Create(setup.wiring, 1));
  Machine machine(setup, *fabric);
  ExecResult result;
  result.fault = machine.Run();
  if (!result.fault) result.chips = machine.Chips();
  return result;
}

}  // namespace lockstep
