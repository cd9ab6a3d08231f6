#pragma once
// A functional run in less memory than the model takes: the stages of a pipeline are visited in
// turn.
//
//   enter    SRAM of the stage's chips is made, weights are laid out from the mapped files, the KV
//            cache is put back
//   run      one part of the step; what it sends to other nodes stays on the links
//   leave    the KV cache is kept, all other SRAM is dropped
//
// A step of one sequence, be it of a position or a batch, is a row of parts each of which receives from
// the one before, so visits in that order are enough. Values and digests are those of a run that holds
// everything.

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/digest.h"
#include "chip/functional.h"
#include "fabric/local_fabric.h"
#include "runtime/compiler/image.h"
#include "runtime/compiler/pipeline.h"
#include "runtime/model/checkpoint.h"

namespace lockstep {

// What a sequence is fed in a step.
struct FedToken {
  int32_t token, position;
};

class StageVisits {
 public:
  // All but `wiring` outlive this; observer may be null. one: any step of the pipeline. Errors: a stage
  // takes more than `sram_limit` bytes on its chips together; several sequences.
  static absl::StatusOr<std::unique_ptr<StageVisits>> Create(const CompiledPipeline& one,
                                                             const Checkpoint* weights,
                                                             const ChipTiming& timing,
                                                             Wiring wiring, int64_t sram_limit,
                                                             Observer* observer);

  // Session::Step of all chips by the programs of `step`. REQUIRES: nothing in flight.
  absl::StatusOr<std::vector<float>> Step(CompiledPipeline& step, const std::vector<FedToken>& fed);
  // Of all executions of the chip so far (chip/digest.h).
  uint64_t TimingDigestOf(uint32_t chip) const;
  // The most that was held in any visit.
  int64_t MostSramBytes() const { return most_; }

 private:
  // A chip of the stage that is being visited.
  struct Resident {
    uint32_t chip;
    int member;
    std::shared_ptr<const Role> role;
    std::unique_ptr<FunctionalEngine> engine;
  };

  StageVisits(const Checkpoint* weights, const ChipTiming& timing,
              std::unique_ptr<LocalFabric> fabric, Observer* observer)
      : weights_(weights),
        timing_(timing),
        fabric_(std::move(fabric)),
        observer_(observer) {}

  absl::StatusOr<std::vector<Resident>> Enter(CompiledPipeline& step, const PipelinePart& part);
  absl::Status Run(const CompiledPipeline& step, const PipelinePart& part,
                   const std::vector<FedToken>& fed, std::vector<Resident>& chips);
  void RestoreCache(const Plan& plan, const ModelMap& map, uint32_t chip, Sram& sram);
  void Leave(const Plan& plan, const PipelinePart& part, std::vector<Resident> chips);

  const Checkpoint* weights_;
  const ChipTiming timing_;
  const std::unique_ptr<LocalFabric> fabric_;
  Observer* const observer_;
  std::map<uint32_t, std::shared_ptr<TimingDigest>> digests_;  // by chip
  std::map<uint32_t, std::vector<Vector>> caches_;             // by chip: words of the KV cache
  int64_t most_ = 0;
};

}  // namespace lockstep
