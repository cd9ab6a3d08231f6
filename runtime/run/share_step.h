#pragma once
// One step in all processes of a run. Process 0 compiles one chip of each kind of stage, which
// decides all starts; the others learn these, and where the blocks of their programs lie, and need
// to compile nothing but the programs of their own chips, without looking for places.
//
//   process 0: mine --Outline()-----------------> the others: FromOutline()
//                   <-----------------Wanted()--
//                   --AnswerTo(wanted)---------->             Learn()

#include <memory>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "fabric/transport.h"
#include "runtime/compiler/pipeline.h"

namespace lockstep {

// Collective. mine: of process 0; ignored elsewhere. token: another step of the pipeline in this
// process, or null (CompiledPipeline::FromOutline). Errors: mine's, in all processes.
absl::StatusOr<std::shared_ptr<CompiledPipeline>> ShareStep(
    Transport& transport, const Pipeline& pipeline, const ChipTiming& timing,
    absl::StatusOr<std::shared_ptr<CompiledPipeline>> mine, const CompiledPipeline* token);

}  // namespace lockstep
