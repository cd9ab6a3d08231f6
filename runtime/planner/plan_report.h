#pragma once
// What `lockstep plan` says of a deployment: as a table for people, as JSON for programs. All
// figures are the same on every host.

#include <optional>
#include <string>

#include "fabric/topology.h"
#include "runtime/planner/plan_choice.h"
#include "runtime/planner/plan_schedule.h"
#include "runtime/planner/prompt_offer.h"

namespace lockstep {

struct PlanReport {
  std::string model;  // as the user named it
  DeploymentRequest request;
  Topology topology;
  LinkModel links;
  PlanChoice choice;
  PlanSchedule schedule;
  PromptOffers prompt;
  // The same request if no node had failed, where some have.
  std::optional<Deployment> without_failures;
};

// Errors: ChoosePlan's, CompilePlan's.
absl::StatusOr<PlanReport> MakePlanReport(const std::string& model,
                                          const DeploymentRequest& request, Topology topology,
                                          const LinkModel& links);

// Consecutive stages of equal parts: one row of the table.
struct StageRun {
  int first = 0, last = 0;  // stages, inclusive
  StageSize size;           // of a chip
};
std::vector<StageRun> StageRuns(const Deployment& deployment);

// How far the slowest stage is above the mean, by bytes of a step and chip.
struct StageBalance {
  int slowest = 0;  // stage
  int64_t slowest_bytes = 0;
  double mean_bytes = 0;
};
StageBalance BalanceOf(const Deployment& deployment);

std::string PlanTable(const PlanReport& report);
std::string PlanJson(const PlanReport& report);

}  // namespace lockstep
