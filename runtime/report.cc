// The figures of a run (runtime/report.h); how they look is in runtime/report_text.cc.
#include "runtime/report.h"

#include <algorithm>
#include <array>

#include "chip/check.h"
#include "runtime/image.h"

namespace lockstep {
namespace {

LinkUse MeasureLinks(const Schedule& schedule) {
  std::array<int64_t, kC2cLinks> vectors{};
  for (const Run& run : schedule.runs) {
    if (run.instr.op == Opcode::kSend) vectors[run.queue - kC2cQueue0] += run.count;
  }
  LinkUse use;
  for (int64_t n : vectors) {
    use.links += n > 0;
    use.vectors += n;
    use.busiest_vectors = std::max(use.busiest_vectors, n);
  }
  return use;
}

}  // namespace

double RunReport::HostLinkSeconds() const {
  return 2 * kHostLinkSeconds +
         static_cast<double>(step_input_bytes + step_output_bytes) / kHostLinkBytesPerSecond;
}

double RunReport::FirstTokenSeconds() const {
  return static_cast<double>(prompt_ids.size()) * StepSeconds();
}

double RunReport::EmulatedSeconds() const { return result.steps * StepSeconds(); }

double RunReport::WeightStreamShare() const {
  return static_cast<double>(cost.weight_stream_bytes) /
         (static_cast<double>(cost.cycles) * kWeightStreamBytesPerCycle);
}

double RunReport::LinkShare(int64_t vectors_of_one_link) const {
  return static_cast<double>(vectors_of_one_link * link_ticks) /
         static_cast<double>(cost.cycles * kTicksPerCycle);
}

double RunReport::MeanLinkShare() const {
  return links.links == 0 ? 0 : LinkShare(links.vectors) / links.links;
}

int64_t RunReport::Instructions() const { return cost.dispatches * chips * result.steps; }

double RunReport::Slowdown() const { return host.run_seconds / EmulatedSeconds(); }

RunReport MakeReport(const RunSetup& setup, const Session& session, const RunResult& result,
                     const HostTimes& host) {
  const Plan& plan = session.plan();
  RunReport r;
  r.options = setup.options;
  r.model = plan.model;
  r.topology = setup.topology.name();
  r.topology_rules = setup.topology.spec().ToString();
  r.topology_chips = setup.topology.num_chips();
  r.topology_nodes = setup.topology.num_nodes();
  r.chips = plan.chips;
  r.context = plan.context;
  r.hop_latency = std::string(setup.links.preset());
  r.hop_origin = std::string(setup.links.origin());
  r.hop_cycles = setup.links.hop_cycles();
  r.link_ticks = setup.session.timing.link_ticks;
  r.cost = session.cost();
  r.sram = session.compiled().layout.use;
  r.links = MeasureLinks(session.schedule());
  r.step_input_bytes = StepInputBytes(plan);
  r.step_output_bytes = StepOutputBytes(plan, session.stage());
  r.prompt_ids = setup.prompt_ids;
  r.result = result;
  r.plan_digest = plan.Digest();
  r.host = host;
  return r;
}

}  // namespace lockstep
