// The figures of a run (runtime/run/report.h); how they look is in runtime/run/report_text.cc.
#include "runtime/run/report.h"

#include <algorithm>

#include "chip/check.h"
#include "runtime/compiler/image.h"
#include "runtime/compiler/stage_size.h"

namespace lockstep {
namespace {
double HostLink(int64_t bytes) {
  return 2 * kHostLinkSeconds + static_cast<double>(bytes) / kHostLinkBytesPerSecond;
}
}  // namespace

double RunReport::HostLinkSeconds() const { return HostLink(step_input_bytes + step_output_bytes); }

double RunReport::AllSequencesSeconds(const StepCost& step) const {
  return static_cast<double>(step.period) * sequences / kClockHz;
}

int64_t RunReport::BatchCycles() const {
  return flight > 1 ? batch_cost.cycles : batch_cost.latency;
}

double RunReport::BatchSeconds() const {
  const double own = static_cast<double>(BatchCycles()) / kClockHz +
                     HostLink(batch_input_bytes + batch_output_bytes);
  return flight > 1 ? own : std::max(own, AllSequencesSeconds(batch_cost));
}

double RunReport::StepSeconds() const {
  return std::max(LatencySeconds(), AllSequencesSeconds(cost));
}

double RunReport::FirstTokenSeconds() const {
  const int single = static_cast<int>(prompt_ids.size()) - result.batches * PromptPositions();
  return result.batches * BatchSeconds() + single * StepSeconds();
}

double RunReport::EmulatedSeconds() const {
  return result.batches * BatchSeconds() + result.steps * StepSeconds();
}

double RunReport::WeightStreamShare() const {
  return static_cast<double>(cost.weight_stream_bytes) /
         (static_cast<double>(cost.latency) * kWeightStreamBytesPerCycle);
}

double RunReport::LinkShare(int64_t vectors_of_one_link) const {
  return static_cast<double>(vectors_of_one_link * link_ticks) /
         static_cast<double>(cost.cycles * kTicksPerCycle);
}

double RunReport::MeanLinkShare() const {
  return cost.links == 0 ? 0 : LinkShare(cost.vectors_sent) / static_cast<double>(cost.links);
}

int64_t RunReport::Instructions() const {
  return batch_cost.dispatches * result.batches + cost.dispatches * result.steps;
}

double RunReport::Slowdown() const { return host.run_seconds / EmulatedSeconds(); }

RunReport MakeReport(const RunSetup& setup, const Session& session, const RunResult& result,
                     const HostTimes& host) {
  const Plan& plan = session.plan();
  const Pipeline& pipeline = session.compiled().pipeline();
  RunReport r;
  r.options = setup.options;
  r.model = plan.model;
  r.topology = setup.topology.name();
  r.topology_rules = setup.topology.spec().ToString();
  r.topology_chips = setup.topology.num_chips();
  r.topology_nodes = setup.topology.num_nodes();
  r.stages = static_cast<int>(pipeline.stages.size());
  r.chips = r.stages * plan.chips;
  r.context = plan.context;
  r.sequences = plan.sequences;
  r.weights = plan.weights, r.kv_cache = plan.kv_cache;
  r.hop_latency = std::string(setup.links.preset());
  r.hop_origin = std::string(setup.links.origin());
  r.hop_cycles = setup.links.hop_cycles();
  r.link_ticks = setup.session.timing.link_ticks;
  r.batch = plan.batch;
  r.flight = plan.flight;
  if (const CompiledPipeline* prompt = session.batches()) {
    r.group = prompt->group(), r.group_cycles = prompt->group_period();
  }
  r.cost = session.cost();
  r.batch_cost = session.batch_cost();
  for (const PipelinePart& part : session.compiled().parts()) {
    if (part.sram.total() > r.sram.total()) r.sram = part.sram;
    if (part.shape.sequence == 0 && part.shape.relay == nullptr) r.parts.push_back(part);
  }
  std::vector<TimedSpans> kernels;
  for (const PipelinePart& part : r.parts) {
    kernels.push_back({part.start, &session.compiled().FirstRoleOf(part).compiled.spans});
  }
  r.time = MeasureTime(kernels, r.cost.latency);
  r.step_input_bytes = StepInputBytes(plan, 1);
  for (const PipelineStage& stage : pipeline.stages) {
    r.step_output_bytes = std::max(r.step_output_bytes, StepOutputBytes(plan, stage.shape));
  }
  r.batch_input_bytes = StepInputBytes(plan, plan.batch);
  r.batch_output_bytes = r.step_output_bytes * (plan.all_logits ? plan.batch : 1);
  r.prompt_ids = setup.prompt_ids;
  r.result = result;
  r.plan_digest = pipeline.Digest();
  r.host = host;
  return r;
}

}  // namespace lockstep
