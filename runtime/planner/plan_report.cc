// What is counted on a deployment, and its JSON (runtime/planner/plan_report.h).
#include "runtime/planner/plan_report.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "chip/geometry.h"
#include "fabric/node_chain.h"
#include "runtime/machine/machine.h"
#include "runtime/model/model_source.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

Json RangeJson(Range range) { return Json::array({range.begin, range.end}); }

Json UseJson(const StageSize& size) {
  const SramUse& use = size.use;
  return {{"layers", use.layers}, {"embedding", use.embedding},
          {"head", use.head},     {"kv_cache", use.kv_cache},
          {"tables", use.tables}, {"activations", use.activations},
          {"total", use.total()}, {"free", kSramBytes - use.total()}};
}

Json StagesJson(const PlanReport& report) {
  const Deployment& d = report.choice.deployment;
  Json stages = Json::array();
  for (int i = 0; i < d.num_stages(); ++i) {
    const Deployment::Stage& stage = d.stages[i];
    const StageSize size = d.SizeOf(stage);
    Json json = {{"node", NodeName(report.topology, stage.node)},
                 {"first_chip", stage.chips.front().value()},
                 {"layers", RangeJson(stage.layers)},
                 {"embedding_rows", RangeJson(stage.embedding)},
                 {"head_rows", RangeJson(stage.head)},
                 {"sram_bytes_per_chip", UseJson(size)},
                 {"step_bytes_per_chip", size.step_bytes()},
                 {"stream_cycles", StreamCycles(size.step_bytes())}};
    if (i + 1 < d.num_stages()) {
      json["cables_to_next"] = CablesBetween(report.topology, stage.node, d.stages[i + 1].node);
    }
    for (const PlanDetour& detour : report.schedule.detours) {
      if (detour.stage == i) json["chips_between"] = detour.relays;
    }
    stages.push_back(std::move(json));
  }
  return stages;
}

Json BoundJson(const TokenBound& bound) {
  return {{"stream_cycles", bound.stream_cycles},
          {"slowest_stage_cycles", bound.slowest_cycles},
          {"hop_cycles", bound.hop_cycles},
          {"cycles_per_token_and_user", bound.user_cycles()}};
}

Json LoadJson(const LinkLoad& load) {
  return {{"vectors_per_token", load.vectors}, {"share", load.share}};
}

Json ScheduleJson(const PlanSchedule& schedule) {
  return {{"cycles_per_token", schedule.cycles},
          {"programs", schedule.roles},
          {"text_bytes_per_chip", schedule.text_bytes},
          {"busiest_link_in_node", LoadJson(schedule.in_node)},
          {"busiest_link_between_nodes", LoadJson(schedule.between_nodes)}};
}

Json PromptJson(const PromptOffers& prompt) {
  const auto holders = [](const VocabularyStages& v) {
    return Json{{"embedding_stages", v.embedding}, {"head_stages", v.head}};
  };
  Json json = {{"batch", prompt.batch}, {"inbox", prompt.inbox}};
  json.update(holders(prompt.now));
  json["larger"] = Json::array();
  for (const PromptOffers::Larger& larger : prompt.larger) {
    Json of = {{"batch", larger.batch}};
    if (larger.stages) of.update(holders(*larger.stages));
    if (!larger.stages) of["refused"] = larger.why_not;
    json["larger"].push_back(std::move(of));
  }
  return json;
}

Json CandidatesJson(const PlanReport& report) {
  Json candidates = Json::array();
  for (const PlanCandidate& c : report.choice.runners_up) {
    Json json = {{"tensor_parallel", c.tensor_parallel}, {"stages", c.stages}};
    if (c.why_not.empty()) {
      json["bound"] = BoundJson(c.bound);
    } else {
      json["refused"] = c.why_not;
    }
    candidates.push_back(std::move(json));
  }
  return candidates;
}

Json FailureJson(const PlanReport& report) {
  const Deployment& now = report.choice.deployment;
  Json failed = Json::array(), moved = Json::array();
  for (NodeId node : report.request.failed) failed.push_back(NodeName(report.topology, node));
  for (int i = 0; i < now.num_stages(); ++i) {
    const NodeId from = report.without_failures->stages[i].node, to = now.stages[i].node;
    if (from == to) continue;
    moved.push_back({{"stage", i},
                     {"from", NodeName(report.topology, from)},
                     {"to", NodeName(report.topology, to)}});
  }
  return {{"nodes", failed}, {"moved_stages", moved}};
}

}  // namespace

absl::StatusOr<PlanReport> MakePlanReport(const std::string& model,
                                          const DeploymentRequest& request, Topology topology,
                                          const LinkModel& links) {
  ASSIGN_OR_RETURN(PlanChoice choice, ChoosePlan(request, topology, links));
  std::optional<Deployment> before;
  if (!request.failed.empty()) {
    DeploymentRequest healthy = request;
    healthy.failed.clear();
    healthy.tensor_parallel = choice.deployment.tensor_parallel();
    healthy.nodes = choice.deployment.num_stages();
    ASSIGN_OR_RETURN(before, MakeDeployment(healthy, topology));
  }
  ASSIGN_OR_RETURN(const ChipTiming timing, MakeTiming({}, links));
  ASSIGN_OR_RETURN(PlanSchedule schedule, CompilePlan(choice.deployment, topology, links, timing));
  PromptOffers prompt = OffersForPrompts(request, choice.deployment, topology);
  return PlanReport{model,
                    request,
                    std::move(topology),
                    links,
                    std::move(choice),
                    std::move(schedule),
                    std::move(prompt),
                    std::move(before)};
}

std::vector<StageRun> StageRuns(const Deployment& deployment) {
  std::vector<StageRun> runs;
  const auto alike = [&](int a, int b) {
    const SramUse &x = deployment.SizeOf(deployment.stages[a]).use,
                  &y = deployment.SizeOf(deployment.stages[b]).use;
    return x == y && deployment.stages[a].layers.size() == deployment.stages[b].layers.size();
  };
  for (int i = 0; i < deployment.num_stages(); ++i) {
    if (!runs.empty() && alike(runs.back().first, i)) {
      runs.back().last = i;
    } else {
      runs.push_back({i, i, deployment.SizeOf(deployment.stages[i])});
    }
  }
  return runs;
}

StageBalance BalanceOf(const Deployment& deployment) {
  StageBalance balance;
  int64_t sum = 0;
  for (int i = 0; i < deployment.num_stages(); ++i) {
    const int64_t bytes = deployment.SizeOf(deployment.stages[i]).step_bytes();
    sum += bytes;
    if (bytes > balance.slowest_bytes) balance.slowest = i, balance.slowest_bytes = bytes;
  }
  balance.mean_bytes = static_cast<double>(sum) / deployment.num_stages();
  return balance;
}

std::string PlanJson(const PlanReport& report) {
  const Deployment& d = report.choice.deployment;
  const StageBalance balance = BalanceOf(d);
  Json spares = Json::array();
  for (NodeId node : d.free_spares) spares.push_back(NodeName(report.topology, node));
  Json json = {{"model", ModelTitle(report.model)},
               {"topology", report.topology.name()},
               {"weights", NumberFormatName(report.request.weights)},
               {"kv_cache", NumberFormatName(report.request.kv_cache)},
               {"context", report.request.context},
               {"sequences", report.request.sequences},
               {"hop_latency", std::string(report.links.preset())},
               {"tensor_parallel", d.tensor_parallel()},
               {"chips", d.num_chips()},
               {"topology_chips", report.topology.num_chips()},
               {"sram_bytes", kSramBytes},
               {"digest", absl::StrFormat("%016x", d.Digest())},
               {"stages", StagesJson(report)},
               {"free_spare_nodes", std::move(spares)},
               {"bound", BoundJson(report.choice.bound)},
               {"balance",
                {{"slowest_stage", balance.slowest},
                 {"slowest_bytes", balance.slowest_bytes},
                 {"mean_bytes", balance.mean_bytes}}},
               {"compiled", ScheduleJson(report.schedule)},
               {"prompt", PromptJson(report.prompt)},
               {"runners_up", CandidatesJson(report)}};
  if (report.without_failures) json["failed"] = FailureJson(report);
  return json.dump(2) + "\n";
}

}  // namespace lockstep
