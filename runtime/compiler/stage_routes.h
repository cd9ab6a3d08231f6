#pragma once
// Which cables carry the hidden vectors from each stage to the next, and back: those that join
// chips of the two, or where there are none, ways over third chips (fabric/detours.h), no two of
// which share one. Spare nodes pass on only where nothing else does; failed ones never do.
//
// Large transfers may go over such ways beside the cables, too: through chips up to the last one
// that holds a stage, spare ones left out.

#include <vector>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "fabric/detours.h"
#include "fabric/link_model.h"
#include "fabric/topology.h"
#include "runtime/compiler/deployment.h"
#include "runtime/kernels/collective.h"
#include "runtime/kernels/transfer.h"

namespace lockstep {

class StageRoutes {
 public:
  // groups: by stage of the deployment, then member. All outlive this.
  StageRoutes(const Deployment& deployment, const std::vector<std::vector<Group>>& groups,
              const Topology& topology, const LinkModel& links, const ChipTiming& timing);

  // From stage `from` to stage `to`. Errors: there is no way (naming both nodes);
  // NodeRoute::Create's.
  absl::StatusOr<NodeRoute> Between(int from, int to);
  // `direct` with what ways over third chips carry beside its cables; where there are none, itself.
  NodeRoute Spread(int from, int to, const NodeRoute& direct) const;

 private:
  std::vector<NodeCable> DirectCables(int from, int to) const;
  std::vector<NodeCable> Detours(int from, int to);
  NodeCable CableOf(const Path& path, int from, int to, int like) const;

  const Deployment& deployment_;
  const std::vector<std::vector<Group>>& groups_;
  const Topology& topology_;
  const LinkModel& links_;
  const ChipTiming& timing_;
  std::vector<Passage> passage_;  // by chip
};

}  // namespace lockstep
