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

// What the chip's programs come to; their layout is the stage's.
absl::StatusOr<SramUse> AddChip(CompiledPipeline& compiled, uint32_t chip, const Topology& topology,
                                PlanSchedule& out) {
  ASSIGN_OR_RETURN(const std::vector<CompiledPipeline::ChipPart> parts, compiled.PartsOf(chip));
  int64_t text = 0, cycles = 0;
  LinkCounts sent{};
  SramUse sram;
  for (const CompiledPipeline::ChipPart& p : parts) {
    text += p.role->schedule->text_bytes;
    cycles += p.part->end - p.part->start;
    for (size_t port = 0; port < sent.size(); ++port) sent[port] += p.role->sent[port];
    sram = p.role->compiled.layout.use;
  }
  if (!compiled.SeatOf(chip)) cycles = compiled.latency();  // it waits for what it passes on
  out.text_bytes = std::max(out.text_bytes, text);
  for (const Link& link : topology.outgoing(ChipId(chip))) {
    LinkLoad& load = link.place == Place::kNode ? out.in_node : out.between_nodes;
    if (cycles > 0) Raise(load, sent[link.from_port.value()], cycles, compiled.timing());
  }
  return sram;
}

std::vector<PlanDetour> DetoursOf(const Pipeline& pipeline) {
  std::vector<PlanDetour> out;
  for (size_t s = 0; s < pipeline.forward.size(); ++s) {
    const NodeRoute& route = pipeline.forward[s];
    if (route.relay_chips().empty()) continue;
    out.push_back({static_cast<int>(s), static_cast<int>(route.cables().size()),
                   route.relay_chips(), route.cables().front().flight_cycles});
  }
  return out;
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
  out.detours = DetoursOf(compiled->pipeline());
  for (const Deployment::Stage& stage : deployment.stages) {
    for (ChipId chip : stage.chips) {
      ASSIGN_OR_RETURN(const SramUse sram, AddChip(*compiled, chip.value(), topology, out));
      if (chip == stage.chips.front()) out.sram.push_back(sram);
    }
  }
  for (const PlanDetour& detour : out.detours) {
    for (uint32_t chip : detour.relays) {
      if (compiled->SeatOf(chip)) continue;
      RETURN_IF_ERROR(AddChip(*compiled, chip, topology, out).status());
    }
  }
  out.roles = static_cast<int>(compiled->roles());
  return out;
}

}  // namespace lockstep
