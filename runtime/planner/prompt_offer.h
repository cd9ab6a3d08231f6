#pragma once
// How much of a prompt a deployment takes at once, and what larger batches would cost: with these
// the vocabulary lies on more stages, and every token comes by all of them.

#include <optional>
#include <string>
#include <vector>

#include "fabric/topology.h"
#include "runtime/compiler/deployment.h"

namespace lockstep {

struct VocabularyStages {
  int embedding = 0, head = 0;  // stages that hold such rows
};

struct PromptOffers {
  int batch = 1;         // positions: what was asked for, else what a run takes of a long prompt
  int inbox = 0;         // batches of a group; 0: they need no groups, or have no room
  VocabularyStages now;  // of the deployment
  // For each larger batch, up to the first that has no room.
  struct Larger {
    int batch;
    std::optional<VocabularyStages> stages;  // of as many stages, with room for it
    std::string why_not;                     // where there is no room
  };
  std::vector<Larger> larger;
};

// `request`: what `deployment` was made for.
PromptOffers OffersForPrompts(DeploymentRequest request, const Deployment& deployment,
                              const Topology& topology);

}  // namespace lockstep
