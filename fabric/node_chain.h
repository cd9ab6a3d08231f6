#pragma once
// A chain of nodes, each joined to the next by a cable: where a pipeline can lie.
//
//   rack 0: entry .. others, ascending .. exit ==cable==> entry .. exit of another rack ==> ...
//
// A rack is used up before the next one is entered. Spare nodes are left out unless they are asked
// for.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fabric/topology.h"

namespace lockstep {

// "3.5" for node 5 of rack 3; "12" where there are no racks.
std::string NodeName(const Topology& topology, NodeId node);
// The reverse; InvalidArgument says which names there are.
absl::StatusOr<NodeId> ParseNodeName(const Topology& topology, absl::string_view name);

// Whether all chips of the node are spare ones.
bool IsSpareNode(const Topology& topology, NodeId node);
std::vector<NodeId> WorkingNodes(const Topology& topology);  // all but the spare ones, ascending

// Cables that join the two nodes.
int CablesBetween(const Topology& topology, NodeId a, NodeId b);

// The first chain of `length` nodes out of `nodes`, by a rule: racks ascending, in them nodes
// ascending but for those at the ends, which are joined to the rack before and after by the most
// cables. The same on every host. Errors: too few nodes (ResourceExhausted, with the counts); no
// chain found (FailedPrecondition).
absl::StatusOr<std::vector<NodeId>> FindNodeChain(const Topology& topology,
                                                  absl::Span<const NodeId> nodes, int length);

// Ok, or which nodes that follow each other have no cable.
absl::Status CheckNodeChain(const Topology& topology, absl::Span<const NodeId> chain);

}  // namespace lockstep
