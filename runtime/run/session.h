#pragma once
// A session: one model on a pipeline of nodes, stepped token by token. Every process of the fabric
// holds one, with the chips that it runs; process 0 talks to the user.
//
//   prompt, sampler (process 0) -> token -> all processes -> step inputs into each chip's SRAM
//   -> one program run of all chips -> logits of each chip -> process 0
//
// The timing engine has no values: it runs the same programs, and tokens are not sampled.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/functional.h"
#include "chip/timing.h"
#include "fabric/fleet.h"
#include "fabric/transport.h"
#include "runtime/compiler/pipeline.h"
#include "runtime/machine/link_traffic.h"
#include "runtime/model/checkpoint.h"
#include "runtime/run/part_io.h"
#include "runtime/run/visits.h"

namespace lockstep {

enum class EngineKind : uint8_t { kFunctional, kTiming };

// What every process knows before it starts; equal in all of them.
struct SessionSetup {
  Pipeline pipeline;
  ChipTiming timing;
  EngineKind engine = EngineKind::kFunctional;
  // Of `pipeline`, if they are there already; batches only where its plan has them.
  std::shared_ptr<CompiledPipeline> compiled = {}, batches = {};
  std::shared_ptr<CheckCache> checks = {};  // what is known of their programs; may be null
  // Functional engine in one process: the most SRAM to hold at once, all chips together, and the
  // wires of the fabric; stages are visited in turn where the whole pipeline takes more.
  struct Limit {
    int64_t sram_bytes;
    Wiring wiring;
  };
  std::optional<Limit> limit = {};
};

// Of one step of the whole pipeline, of all sequences.
struct StepCost {
  int64_t cycles = 0;               // from the first part's start to the last one's end
  int64_t latency = 0;              // of one sequence; the same with one
  int64_t period = 0;               // from a sequence's step to the next one's; 0 with one
  int64_t dispatches = 0;           // of all chips
  int64_t vectors_sent = 0;         // by all chips
  int64_t links = 0;                // that send at all
  int64_t busiest_vectors = 0;      // sent on the busiest link
  int64_t text_bytes = 0;           // of the chip with the most
  int64_t weight_stream_bytes = 0;  // of a sequence, by the chips that stream in turn: one a stage
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

  // Process 0 only: one step of all chips, a token for each sequence of the plan. Returns the
  // logits of the whole vocabulary, a sequence after the other, nothing with the timing engine.
  // Errors: a Fault of the program, as text. Or for each sequence after the other
  // plan().prompt_positions() consecutive tokens of its prompt, the first position a multiple of
  // that: a batch of the plan, or those in flight. Then the logits are those of the last position,
  // or of all where plan().all_logits: by position, then sequence.
  absl::StatusOr<std::vector<float>> Step(const std::vector<FedToken>& fed);
  absl::StatusOr<std::vector<float>> Step(int token, int position) {
    return Step(std::vector<FedToken>{{token, position}});
  }
  // Process 0 only, once, unless a Step failed: lets the others return from Follow.
  void End();
  // All other processes: takes part in the steps of process 0 until it ends. Errors as of Step.
  absl::Status Follow();

  // In process 0: timing digests of all chips, folded in chip order. Collective.
  uint64_t TimingDigest();

  const Plan& plan() const { return setup_.pipeline.plan; }
  // In process 0; zeros elsewhere, and of batches where there are none.
  const StepCost& cost() const { return token_.cost; }
  const StepCost& batch_cost() const { return batch_.cost; }
  // Of a token's step, by links that carry something: chip, port and vectors. In process 0.
  const std::vector<LinkTraffic>& link_traffic() const { return token_.traffic; }
  CompiledPipeline& compiled() const { return *token_.compiled; }
  CompiledPipeline* batches() const { return batch_.compiled.get(); }  // may be null
  int64_t SramBytesTouched() const;  // with stages visited in turn: the most at once
  // Programs that a chip of this process runs in a token's step, and in a batch's.
  struct LaunchCounts {
    int token, batch;
  };
  LaunchCounts launches_of(uint32_t chip) const;

 private:
  // A chip of this process that has work. With the timing engine, and where it only passes on what
  // is for others, it has no engine: nothing of it is written or read.
  struct Worker {
    uint32_t chip;
    int member;               // of its stage
    const StageShape* stage;  // null: it only passes on
    std::vector<CompiledPipeline::ChipPart> token_parts, batch_parts;
    FunctionalEngine* engine;
    const ModelMap& map() const { return token_parts.front().role->compiled.layout.map; }
    std::vector<ModelMap> inputs;  // the map as each sequence sees it; functional engine only
  };
  // A kind of step.
  struct Kind {
    std::shared_ptr<CompiledPipeline> compiled;  // null: there is none
    std::vector<Launches> launches;              // by local chip
    std::vector<CompiledPipeline::ChipPart> Worker::*parts;
    StepCost cost;
    std::vector<LinkTraffic> traffic;
  };

  Session(const SessionSetup& setup, Transport* transport);
  absl::Status Compile(Observer* observer);
  absl::StatusOr<std::shared_ptr<CompiledPipeline>> CompileStep(bool batch) const;
  absl::Status MakeWorkers(Observer* observer);
  Engine* MakeEngine(uint32_t chip, int64_t sram_bytes, Observer* observer);
  absl::Status Load(const Checkpoint& weights);
  absl::Status AgreeOnPlan();
  void CountCost(Kind* kind);
  bool TakesTurns() const;
  bool IsBatch(const std::vector<FedToken>& fed) const;
  void WriteInputs(const std::vector<FedToken>& fed);
  absl::Status RunStep(const std::vector<FedToken>& fed);
  std::vector<const Worker*> WorkersByIndex() const;
  void WriteInFlight(const Worker& worker, size_t launch, const std::vector<FedToken>& fed) const;
  std::vector<float> GatherLogits(bool batch);

  const SessionSetup setup_;
  Transport* transport_;
  std::shared_ptr<CheckCache> checks_;  // of all timing engines
  Kind token_, batch_;
  std::vector<Worker> workers_;                 // in the order of chips
  std::vector<std::vector<ShardLogits>> read_;  // of the last step, by local chip
  std::vector<std::unique_ptr<FunctionalEngine>> functional_;
  std::vector<std::unique_ptr<TimingEngine>> timing_;
  std::unique_ptr<Fleet> fleet_;
  std::unique_ptr<StageVisits> visits_;  // null unless stages are visited in turn
};

}  // namespace lockstep
