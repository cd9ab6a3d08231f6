// Deployments for larger batches (runtime/planner/prompt_offer.h).
#include "runtime/planner/prompt_offer.h"

#include <algorithm>

#include "runtime/compiler/prefill.h"
#include "runtime/compiler/prompt_room.h"

namespace lockstep {
namespace {

VocabularyStages StagesOf(const std::vector<StageShape>& shapes) {
  VocabularyStages out;
  for (const StageShape& s : shapes) {
    out.embedding += s.embedding.size() > 0, out.head += s.head.size() > 0;
  }
  return out;
}

}  // namespace

PromptOffers OffersForPrompts(DeploymentRequest request, const Deployment& deployment,
                              const Topology& topology) {
  PromptOffers out;
  const std::vector<StageShape> shapes = deployment.shapes();
  out.now = StagesOf(shapes);
  Plan plan = deployment.plan;
  // Over several stages a prompt that fills the context, in flight.
  const int whole = plan.context - plan.context % kMostPrefill;
  const int flight = shapes.size() > 1 ? std::max(1, whole) : 1;
  if (plan.batch == 1) plan.batch = ChooseSteps(plan, shapes, plan.context, flight).batch;
  out.batch = plan.batch;
  out.inbox = std::min(InboxOfFlight(plan, shapes, flight), flight / plan.batch);
  request.tensor_parallel = deployment.tensor_parallel();
  request.nodes = deployment.num_stages();
  for (request.batch = 2 * out.batch; request.batch <= kMostPrefill; request.batch *= 2) {
    const absl::StatusOr<Deployment> larger = MakeDeployment(request, topology);
    if (!larger.ok()) {
      out.larger.push_back({request.batch, {}, std::string(larger.status().message())});
      break;
    }
    out.larger.push_back({request.batch, StagesOf(larger->shapes()), ""});
  }
  return out;
}

}  // namespace lockstep
