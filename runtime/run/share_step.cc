// Outlines and placements between processes (runtime/run/share_step.h).
#include "runtime/run/share_step.h"

#include <string>
#include <utility>
#include <vector>

#include "chip/check.h"
#include "fabric/agreement.h"

namespace lockstep {
namespace {

// What another process of this build made of the same plan cannot be wrong.
template <typename T>
T Understood(absl::StatusOr<T> message) {
  LOCKSTEP_CHECK(message.ok(), "%s", std::string(message.status().message()));
  return *std::move(message);
}

// Collective. What process 0 found out about the parts of this process' chips.
void SharePlacements(Transport& transport, const CompiledPipeline& step) {
  PipelinePrograms& programs = step.programs();
  std::vector<const PipelinePart*> mine;
  for (uint32_t chip : transport.chips()) {
    for (const PipelinePart* part : step.PartsAt(chip)) mine.push_back(part);
  }
  std::vector<std::string> answers;
  for (const std::string& wanted : transport.Gather(programs.Wanted(mine))) {
    answers.push_back(Understood(programs.AnswerTo(wanted)));
  }
  const absl::Status learnt = programs.Learn(transport.Scatter(std::move(answers)));
  LOCKSTEP_CHECK(learnt.ok(), "%s", std::string(learnt.message()));
}

}  // namespace

absl::StatusOr<std::shared_ptr<CompiledPipeline>> ShareStep(
    Transport& transport, const Pipeline& pipeline, const ChipTiming& timing,
    absl::StatusOr<std::shared_ptr<CompiledPipeline>> mine, const CompiledPipeline* token) {
  const bool first = transport.process().rank == 0;
  RETURN_IF_ERROR(AgreeOnStatus(transport, first ? mine.status() : absl::OkStatus()));
  if (transport.process().ranks == 1) return mine;
  std::string outline = first ? (*mine)->Outline() : "";
  transport.Broadcast(&outline);
  const std::shared_ptr<CompiledPipeline> step =
      first ? *std::move(mine)
            : Understood(CompiledPipeline::FromOutline(pipeline, timing, outline, token));
  SharePlacements(transport, *step);
  return step;
}

}  // namespace lockstep
