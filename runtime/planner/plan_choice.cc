// Candidates and their bounds (runtime/planner/plan_choice.h).
#include "runtime/planner/plan_choice.h"

#include <optional>
#include <utility>

#include "chip/check.h"
#include "fabric/node_chain.h"

namespace lockstep {
namespace {

struct Made {
  Deployment deployment;
  TokenBound bound;
};

class Chooser {
 public:
  Chooser(const DeploymentRequest& request, const Topology& topology, const LinkModel& links)
      : request_(request), topology_(topology), links_(links) {}

  // The best number of stages for so many chips a stage.
  void Try(int tensor_parallel) {
    absl::StatusOr<Made> best = Make(tensor_parallel, request_.nodes);
    if (!best.ok()) return Refuse(tensor_parallel, request_.nodes.value_or(0), best.status());
    const int fewest = best->deployment.num_stages(), most = MostStages();
    // More stages help as long as the slowest one holds up the sequences; then they only add hops.
    absl::StatusOr<Made> next = *best;
    for (int stages = fewest + 1; !request_.nodes && stages <= most; ++stages) {
      if (next->bound.user_cycles() == next->bound.latency()) break;
      next = Make(tensor_parallel, stages);
      if (!next.ok()) break;
      if (next->bound.user_cycles() < best->bound.user_cycles()) best = *next;
    }
    const int chosen = best->deployment.num_stages();
    Accept(*std::move(best));
    if (request_.nodes) return;
    if (fewest > 1) TryOther(tensor_parallel, fewest - 1);
    for (int stages : {fewest, most}) {
      if (stages != chosen) TryOther(tensor_parallel, stages);
    }
  }

  absl::StatusOr<PlanChoice> Take() {
    if (made_.empty()) return first_error_;
    std::stable_sort(made_.begin(), made_.end(), [](const Made& a, const Made& b) {
      const int64_t x = a.bound.user_cycles(), y = b.bound.user_cycles();
      return x != y ? x < y : a.deployment.num_chips() < b.deployment.num_chips();
    });
    std::vector<PlanCandidate> others;
    for (size_t i = 1; i < made_.size(); ++i) {
      const Deployment& d = made_[i].deployment;
      others.push_back({d.tensor_parallel(), d.num_stages(), "", made_[i].bound});
    }
    others.insert(others.end(), refused_.begin(), refused_.end());
    return PlanChoice{std::move(made_[0].deployment), made_[0].bound, std::move(others)};
  }

 private:
  int MostStages() const {
    return std::min<int>(static_cast<int>(WorkingNodes(topology_).size()), request_.model.layers);
  }

  absl::StatusOr<Made> Make(int tensor_parallel, std::optional<int> stages) const {
    DeploymentRequest request = request_;
    request.tensor_parallel = tensor_parallel;
    request.nodes = stages;
    ASSIGN_OR_RETURN(Deployment deployment, MakeDeployment(request, topology_));
    const TokenBound bound = BoundOf(deployment, request_.sequences, links_);
    return Made{std::move(deployment), bound};
  }

  void TryOther(int tensor_parallel, int stages) {
    absl::StatusOr<Made> made = Make(tensor_parallel, stages);
    if (!made.ok()) return Refuse(tensor_parallel, stages, made.status());
    Accept(*std::move(made));
  }

  void Accept(Made made) { made_.push_back(std::move(made)); }

  void Refuse(int tensor_parallel, int stages, const absl::Status& why) {
    if (first_error_.ok()) first_error_ = why;
    refused_.push_back({tensor_parallel, stages, std::string(why.message()), {}});
  }

  const DeploymentRequest& request_;
  const Topology& topology_;
  const LinkModel& links_;
  std::vector<Made> made_;
  std::vector<PlanCandidate> refused_;
  absl::Status first_error_;
};

}  // namespace

TokenBound BoundOf(const Deployment& deployment, int sequences, const LinkModel& links) {
  TokenBound bound;
  bound.sequences = sequences;
  bound.hop_cycles = (deployment.num_stages() - 1) * links.hop_cycles();
  int64_t head = 0;
  for (const Deployment::Stage& stage : deployment.stages) {
    const StageSize size = deployment.SizeOf(stage);
    bound.stream_cycles += StreamCycles(size.layer_bytes());
    head = std::max(head, StreamCycles(size.use.head));
    bound.slowest_cycles = std::max(bound.slowest_cycles, StreamCycles(size.step_bytes()));
  }
  bound.stream_cycles += head;
  return bound;
}

absl::StatusOr<PlanChoice> ChoosePlan(const DeploymentRequest& request, const Topology& topology,
                                      const LinkModel& links) {
  Chooser chooser(request, topology, links);
  if (request.tensor_parallel) {
    chooser.Try(*request.tensor_parallel);
    return chooser.Take();
  }
  const int node = std::min({8, topology.chips_per_node(), topology.num_chips()});
  chooser.Try(node);
  for (int chips : {4, 2, 1}) {
    if (chips < node) chooser.Try(chips);
  }
  return chooser.Take();
}

}  // namespace lockstep
