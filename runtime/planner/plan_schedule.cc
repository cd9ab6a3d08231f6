// Compiles every role and adds up what its chips send (runtime/planner/plan_schedule.h).
#include "runtime/planner/plan_schedule.h"

#include <algorithm>
#include <utility>

#include "chip/check.h"
#include "runtime/compiler/pipeline.h"
#include "runtime/files/host.h"

namespace lockstep {
namespace {

void Raise(LinkLoad& load, int64_t vectors, int64_t cycles, const ChipTiming& timing) {
  const double busy = static_cast<double>(vectors * timing.link_ticks);
  load.vectors = std::max(load.vectors, vectors);
  load.share = std::max(load.share, busy / static_cast<double>(cycles * kTicksPerCycle));
}

}  // namespace

absl::StatusOr<PlanSchedule> CompilePlan(const Deployment& deployment, const Topology& topology,
                                         const LinkModel& links, const ChipTiming& timing) {
  ASSIGN_OR_RETURN(Pipeline pipeline, MakePipeline(deployment, topology, links, timing));
  pipeline.plan.sequences = 1;
  ASSIGN_OR_RETURN(const std::shared_ptr<CompiledPipeline> compiled,
                   CompiledPipeline::Create(std::move(pipeline), timing,
                                            CompiledPipeline::Step::kToken, HostCores()));
  PlanSchedule out;
  out.cycles = compiled->latency();
  out.sram.resize(deployment.stages.size());
  for (size_t s = 0; s < deployment.stages.size(); ++s) {
    for (ChipId chip : deployment.stages[s].chips) {
      ASSIGN_OR_RETURN(const std::vector<CompiledPipeline::ChipPart> parts,
                       compiled->PartsOf(chip.value()));
      int64_t text = 0, cycles = 0;
      LinkCounts sent{};
      for (const CompiledPipeline::ChipPart& p : parts) {
        text += p.role->schedule->text_bytes;
        cycles += p.part->end - p.part->start;
        for (size_t port = 0; port < sent.size(); ++port) sent[port] += p.role->sent[port];
        out.sram[s] = p.role->compiled.layout.use;
      }
      out.text_bytes = std::max(out.text_bytes, text);
      for (const Link& link : topology.outgoing(chip)) {
        LinkLoad& load = link.place == Place::kNode ? out.in_node : out.between_nodes;
        if (cycles > 0) Raise(load, sent[link.from_port.value()], cycles, timing);
      }
    }
  }
  out.roles = static_cast<int>(compiled->roles());
  return out;
}

}  // namespace lockstep
