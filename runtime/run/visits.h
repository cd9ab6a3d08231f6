#pragma once
// A functional run in less memory than the model takes: the stages of a pipeline are visited in
// turn.
//
//   enter    SRAM of the stage's chips is made, weights are laid out from the mapped files, the KV
//            cache and the inbox are put back
//   run      parts of the step, one or several; what they send to other nodes stays on the links
//   leave    the KV cache and the inbox are kept, all other SRAM is dropped
//
// A step is rows of parts, one a sequence, or one a position (or batch) of a flight; in a row each
// receives from the one before. So there is an order in which stages can be visited one at a time
// (runtime/run/visit_order.h). Values and digests are those of a run that holds everything.

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
#include "runtime/run/part_io.h"
#include "runtime/run/visit_order.h"

namespace lockstep {

class StageVisits {
 public:
  // All but `wiring` outlive this; observer may be null. one: any step of the pipeline. Errors: a stage
  // takes more than `sram_limit` bytes on its chips together.
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
    std::vector<std::shared_ptr<const Role>> roles;  // by part of the visit
    std::unique_ptr<FunctionalEngine> engine;
  };

  StageVisits(const Checkpoint* weights, const ChipTiming& timing,
              std::unique_ptr<LocalFabric> fabric, Observer* observer)
      : weights_(weights),
        timing_(timing),
        fabric_(std::move(fabric)),
        all_chips_(fabric_->chips().begin(), fabric_->chips().end()),
        observer_(observer) {}

  absl::StatusOr<std::vector<Resident>> Enter(CompiledPipeline& step, const Visit& visit);
  // Puts what comes out of the parts into `logits`.
  absl::Status Run(const CompiledPipeline& step, const Visit& visit,
                   const std::vector<FedToken>& fed, std::vector<Resident>& chips,
                   std::vector<float>& logits);
  void Leave(const Pipeline& pipeline, const PipelinePart& part, std::vector<Resident> chips);

  const Checkpoint* weights_;
  const ChipTiming timing_;
  const std::unique_ptr<LocalFabric> fabric_;
  const std::vector<uint32_t> all_chips_;
  Observer* const observer_;
  std::map<uint32_t, std::shared_ptr<TimingDigest>> digests_;  // by chip
  std::map<uint32_t, std::vector<Vector>> kept_;               // by chip: words of cache and inbox
  int64_t most_ = 0;
};

}  // namespace lockstep
