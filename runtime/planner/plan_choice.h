#pragma once
// Which deployment of a model is taken, and why not the others.
//
// Candidates are judged by the least time of a token of one user, the figure that no schedule on
// that deployment can beat: every byte of a stage's weights and KV cache streams once through its
// chips at 20,480 B a cycle, stage after stage, and between stages lies a hop. Stages that hold
// rows of the head go through them side by side. With several sequences in flight no user gets
// tokens faster than the slowest stage serves all of them.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/link_model.h"
#include "runtime/compiler/deployment.h"

namespace lockstep {

// Cycles at 900 MHz.
struct TokenBound {
  int64_t stream_cycles = 0;   // layers of all stages, one after the other, then heads side by side
  int64_t slowest_cycles = 0;  // of the stage that streams longest
  int64_t hop_cycles = 0;      // one hop from each stage to the next
  int sequences = 1;

  int64_t latency() const { return stream_cycles + hop_cycles; }
  // Cycles from one token of a user to the next.
  int64_t user_cycles() const { return std::max(latency(), sequences * slowest_cycles); }
};
TokenBound BoundOf(const Deployment& deployment, int sequences, const LinkModel& links);

struct PlanCandidate {
  int tensor_parallel = 0, stages = 0;  // stages 0: no number of stages will do
  std::string why_not;                  // does not fit; empty: it does
  TokenBound bound;                     // where it does
};

struct PlanChoice {
  Deployment deployment;
  TokenBound bound;
  std::vector<PlanCandidate> runners_up;  // those that fit, best first, then the others
};

// Tries 8, 4, 2 and 1 chips a stage and all numbers of stages, but for what the request fixes, and
// takes the least user_cycles(), then the fewest chips. Error: that of the candidate with the most
// chips a stage, where none will do.
absl::StatusOr<PlanChoice> ChoosePlan(const DeploymentRequest& request, const Topology& topology,
                                      const LinkModel& links);

}  // namespace lockstep
