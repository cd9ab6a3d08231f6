#pragma once
// A session: one model on one group of chips, stepped token by token. Every process of the fabric
// holds one, with the chips that it runs; process 0 talks to the user.
//
//   prompt, sampler (process 0) -> token -> all processes -> step inputs into each chip's SRAM
//   -> one program run of all chips -> logits of each chip -> process 0
//
// The timing engine has no values: it runs the same programs, and tokens are not sampled.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/functional.h"
#include "chip/timing.h"
#include "fabric/fleet.h"
#include "fabric/link_model.h"
#include "fabric/topology.h"
#include "fabric/transport.h"
#include "runtime/checkpoint.h"
#include "runtime/compiler.h"
#include "runtime/plan.h"

namespace lockstep {

enum class EngineKind : uint8_t { kFunctional, kTiming };

// What every process knows before it starts; equal in all of them.
struct SessionSetup {
  Plan plan;
  ChipTiming timing;
  EngineKind engine = EngineKind::kFunctional;
  std::vector<Group> groups;  // by chip
};

// Flight of a bit over the cables inside a node of `topology`, with what its rules add.
int NodeFlightCycles(const Topology& topology, const LinkModel& links);

// The group of `chips` chips of a fully connected node of `topology`, as each member sees it.
absl::StatusOr<std::vector<Group>> NodeGroups(const Topology& topology, int chips,
                                              const LinkModel& links);

// Counted over one program run of one chip.
struct StepCost {
  int64_t cycles = 0;              // of the program
  int64_t dispatches = 0;
  int64_t text_bytes = 0;
  int64_t weight_stream_bytes = 0;
  int64_t vectors_sent = 0;
  int64_t sram_bytes = 0;
};

class Session {
 public:
  // Compares plan and latencies with the other processes, compiles, and loads the local chips'
  // weights (functional engine). Collective; an error of one process is an error, the same, in all.
  // transport and observer (may be null) outlive the session; weights may be null for the timing
  // engine.
  static absl::StatusOr<std::unique_ptr<Session>> Create(const SessionSetup& setup,
                                                         Transport* transport,
                                                         const Checkpoint* weights,
                                                         Observer* observer);

  // Process 0 only: one step of all chips, `token` at `position`. Returns the logits of the whole
  // vocabulary, nothing with the timing engine. Errors: a Fault of the program, as text.
  absl::StatusOr<std::vector<float>> Step(int token, int position);
  // Process 0 only, once, unless a Step failed: lets the others return from Follow.
  void End();
  // All other processes: takes part in the steps of process 0 until it ends. Errors as of Step.
  absl::Status Follow();

  // In process 0: timing digests of all chips, folded in chip order. Collective.
  uint64_t TimingDigest();

  const Plan& plan() const { return setup_.plan; }
  const StageShape& stage() const { return stage_; }
  const StepCost& cost() const { return cost_; }
  // Of the first chip of this process.
  const CompiledChip& compiled() const { return compiled_.front(); }
  const Schedule& schedule() const { return *schedules_.front(); }
  int64_t SramBytesTouched() const;

 private:
  Session(const SessionSetup& setup, Transport* transport);
  absl::Status Compile(Observer* observer);
  absl::Status Load(const Checkpoint& weights);
  absl::Status AgreeOnPlan();
  // `mine`, or the first process' error, in every process.
  absl::Status AgreeOnStatus(const absl::Status& mine);
  absl::Status RunStep(int token, int position);
  std::vector<float> GatherLogits();

  const SessionSetup setup_;
  const StageShape stage_;  // that the node holds
  Transport* transport_;
  std::vector<CompiledChip> compiled_;                      // by local chip
  std::vector<std::shared_ptr<const Schedule>> schedules_;  // by local chip
  std::vector<std::unique_ptr<FunctionalEngine>> functional_;
  std::vector<std::unique_ptr<TimingEngine>> timing_;
  std::unique_ptr<Fleet> fleet_;
  StepCost cost_;
};

}  // namespace lockstep
