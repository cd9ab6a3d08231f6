// Parts of stages, then nodes for them (runtime/compiler/deployment.h).
#include "runtime/compiler/deployment.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/node_chain.h"
#include "runtime/compiler/prefill.h"
#include "runtime/compiler/stage_parts.h"

namespace lockstep {
namespace {

absl::StatusOr<int> ChooseTensorParallel(const DeploymentRequest& request,
                                         const Topology& topology) {
  const int node = std::min(topology.chips_per_node(), topology.num_chips());
  const int chips = request.tensor_parallel.value_or(std::min(8, node));
  if (chips < 1 || chips > node) {
    return absl::InvalidArgumentError(absl::StrCat("tensor parallel over ", chips,
                                                   " chips: a stage lies in one node, and one of ",
                                                   topology.name(), " has ", node));
  }
  // Nodes are alike, so the first one speaks for all.
  const std::vector<ChipId> members = topology.chips_of(NodeId(0));
  for (int a = 0; a < chips; ++a) {
    for (int b = a + 1; b < chips; ++b) {
      if (!topology.LinksBetween(members[a], members[b]).empty()) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "topology ", topology.name(), ": no link from ", members[a].ToString(), " to ",
          members[b].ToString(), "; tensor parallel needs fully connected chips"));
    }
  }
  return chips;
}

// Nodes that hold stages when nothing has failed. A node that Subset() cut has too few chips.
std::vector<NodeId> UsableNodes(const Topology& topology, int tensor_parallel) {
  std::vector<NodeId> nodes;
  for (NodeId node : WorkingNodes(topology)) {
    if (static_cast<int>(topology.chips_of(node).size()) >= tensor_parallel) nodes.push_back(node);
  }
  return nodes;
}

bool Contains(const std::vector<NodeId>& nodes, NodeId node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

// The spare nodes that may stand in for `node`, ascending: those of its rack, or of the system
// where there are no racks.
std::vector<NodeId> SparesFor(const Topology& topology, NodeId node) {
  std::vector<NodeId> spares;
  const ChipId first(node.value() * topology.chips_per_node());
  for (int n = 0; n < topology.num_nodes(); ++n) {
    const ChipId chip(n * topology.chips_per_node());
    if (topology.rack_of(chip) == topology.rack_of(first) && IsSpareNode(topology, NodeId(n))) {
      spares.push_back(NodeId(n));
    }
  }
  return spares;
}

absl::Status NoSpareLeft(const Topology& topology, absl::Span<const NodeId> failed, size_t spares,
                         size_t working) {
  std::string names;
  for (NodeId node : failed) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", NodeName(topology, node));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("failed nodes that hold stages: ", names, "; spare nodes for them: ", spares,
                   ", of which ", working, working == 1 ? " works" : " work"));
}

// Puts a spare node of the same rack in the place of each failed one.
absl::Status ReplaceFailed(const Topology& topology, const std::vector<NodeId>& failed,
                           std::vector<NodeId>& nodes) {
  std::map<std::optional<RackId>, std::vector<size_t>> places;  // in `nodes`, by rack
  for (size_t i = 0; i < nodes.size(); ++i) {
    const ChipId first(nodes[i].value() * topology.chips_per_node());
    if (Contains(failed, nodes[i])) places[topology.rack_of(first)].push_back(i);
  }
  for (const auto& [rack, lost] : places) {
    const std::vector<NodeId> spares = SparesFor(topology, nodes[lost.front()]);
    std::vector<NodeId> working, names;
    for (NodeId spare : spares) {
      if (!Contains(failed, spare)) working.push_back(spare);
    }
    for (size_t place : lost) names.push_back(nodes[place]);
    std::sort(names.begin(), names.end());
    if (lost.size() > working.size()) {
      return NoSpareLeft(topology, names, spares.size(), working.size());
    }
    for (size_t i = 0; i < lost.size(); ++i) nodes[lost[i]] = working[i];
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<NodeId>> ChooseNodes(const Topology& topology,
                                                const std::vector<NodeId>& usable,
                                                const std::vector<NodeId>& failed, int count) {
  absl::StatusOr<std::vector<NodeId>> found = FindNodeChain(topology, usable, count);
  if (!found.ok() && !absl::IsFailedPrecondition(found.status())) return found;
  // Where no chain has cables all along, in order of their numbers: transfers go over third nodes.
  std::vector<NodeId> chain(usable.begin(), usable.begin() + count);
  if (found.ok()) chain = *std::move(found);
  RETURN_IF_ERROR(ReplaceFailed(topology, failed, chain));
  if (CheckNodeChain(topology, chain).ok()) return chain;
  // A spare may lack the cable to the next rack: the same nodes in another order, if that helps.
  const absl::StatusOr<std::vector<NodeId>> other = FindNodeChain(topology, chain, count);
  return other.ok() ? other : chain;
}

}  // namespace

uint64_t Deployment::Digest() const {
  std::string all = absl::StrCat(plan.Digest());
  const auto range = [&all](Range r) { absl::StrAppend(&all, ",", r.begin, "-", r.end); };
  for (const Stage& stage : stages) {
    absl::StrAppend(&all, ";", stage.node.value());
    for (ChipId chip : stage.chips) absl::StrAppend(&all, " ", chip.value());
    range(stage.layers), range(stage.embedding), range(stage.head);
  }
  if (!failed.empty()) absl::StrAppend(&all, ";failed");
  for (NodeId node : failed) absl::StrAppend(&all, " ", node.value());
  return XXH64(all.data(), all.size(), 0);
}

absl::StatusOr<Deployment> MakeDeployment(const DeploymentRequest& request,
                                          const Topology& topology) {
  for (NodeId node : request.failed) {
    if (static_cast<int>(node.value()) < topology.num_nodes()) continue;
    return absl::InvalidArgumentError(absl::StrCat("failed node ", node.value(), ": topology ",
                                                   topology.name(), " has ", topology.num_nodes()));
  }
  ASSIGN_OR_RETURN(const int chips, ChooseTensorParallel(request, topology));
  Deployment out;
  out.failed = request.failed;
  ASSIGN_OR_RETURN(out.plan, MakePlan(request.model, chips, request.context, request.sequences,
                                      request.weights, request.kv_cache));
  out.plan.batch = request.batch;
  const std::vector<NodeId> usable = UsableNodes(topology, chips);
  const int most = std::min<int>(static_cast<int>(usable.size()), request.model.layers);
  if (request.nodes && (*request.nodes < 1 || *request.nodes > most)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a pipeline of ", *request.nodes, " stages: topology ", topology.name(), " has ",
        usable.size(), " nodes without the spare ones, the model ", request.model.layers,
        " layers, and each stage takes one node and at least one layer"));
  }
  ASSIGN_OR_RETURN(
      const std::vector<StageShape> parts,
      PartitionModel(out.plan, request.nodes.value_or(1), request.nodes.value_or(most)));
  ASSIGN_OR_RETURN(const std::vector<NodeId> nodes,
                   ChooseNodes(topology, usable, request.failed, static_cast<int>(parts.size())));
  for (size_t i = 0; i < parts.size(); ++i) {
    std::vector<ChipId> members = topology.chips_of(nodes[i]);
    members.resize(chips, ChipId(0));
    out.stages.push_back(
        {nodes[i], std::move(members), parts[i].layers, parts[i].embedding, parts[i].head});
  }
  for (int n = 0; n < topology.num_nodes(); ++n) {
    const NodeId node(n);
    if (IsSpareNode(topology, node) && !Contains(nodes, node) && !Contains(request.failed, node)) {
      out.free_spares.push_back(node);
    }
  }
  return out;
}

}  // namespace lockstep
