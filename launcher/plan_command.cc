// Flags to a request, its plan to standard output (launcher/plan_command.h).
#include "launcher/plan_command.h"

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "chip/check.h"
#include "launcher/console.h"
#include "launcher/deployment_flags.h"
#include "launcher/exit_code.h"
#include "launcher/paths.h"
#include "runtime/files/atomic_file.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/topology_file.h"
#include "runtime/model/model_source.h"
#include "runtime/planner/plan_report.h"

namespace lockstep {
namespace {

struct PlanFlags {
  std::string model, topology, topology_dir, json;
  std::string hop_latency = std::string(LinkModel::kDefaultPreset);
  std::optional<int> context;
  DeploymentOptions deployment;
};

absl::Status RunPlan(const PlanFlags& flags) {
  if (absl::Status status = ValidateDeploymentOptions(flags.deployment); !status.ok()) {
    return AsUsage(status);
  }
  ASSIGN_OR_RETURN(const ModelConfig model, FindModelShape(flags.model));
  ASSIGN_OR_RETURN(TopologySpec spec,
                   LoadTopology(flags.topology, TopologyDir(flags.topology_dir)));
  ASSIGN_OR_RETURN(Topology topology, Topology::Create(std::move(spec)));
  ASSIGN_OR_RETURN(const LinkModel links, MakeLinks(topology, flags.hop_latency));
  ASSIGN_OR_RETURN(
      const DeploymentRequest request,
      MakeRequest(flags.deployment, model, flags.context.value_or(model.max_context()), topology));
  ASSIGN_OR_RETURN(const PlanReport report,
                   MakePlanReport(flags.model, request, std::move(topology), links));
  std::cout << PlanTable(report);
  RETURN_IF_ERROR(FlushConsole());
  return flags.json.empty() ? absl::OkStatus() : WriteAtomically(flags.json, PlanJson(report));
}

}  // namespace

void AddPlanCommand(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<PlanFlags>();
  CLI::App* plan = app.add_subcommand(
      "plan",
      "Show which node would hold which part of a model, what that takes, and why not "
      "otherwise");
  plan->add_option("--model", flags->model,
                   "Hugging Face folder, a config.json, or a published shape such as llama-2-70b")
      ->required();
  plan->add_option("--topology", flags->topology, "Name, or path of a .textproto file")->required();
  plan->add_option("--topology-dir", flags->topology_dir, "Folder of <name>.textproto files");
  plan->add_option("--context", flags->context,
                   "Positions of a sequence (default: the most that the model has)");
  plan->add_option("--hop-latency", flags->hop_latency, "Preset of the published hop latencies")
      ->check(CLI::IsMember({"A", "B", "C"}))
      ->capture_default_str();
  AddDeploymentFlags(*plan, &flags->deployment);
  plan->add_option("--json", flags->json, "File: the whole plan as JSON");
  plan->callback([flags, result] { *result = RunPlan(*flags); });
}

}  // namespace lockstep
