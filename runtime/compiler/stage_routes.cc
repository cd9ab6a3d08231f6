// Direct cables first, else detours (runtime/compiler/stage_routes.h).
#include "runtime/compiler/stage_routes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/node_chain.h"
#include "runtime/machine/machine.h"

namespace lockstep {
namespace {

int MemberOf(const std::vector<ChipId>& chips, ChipId chip) {
  return static_cast<int>(std::find(chips.begin(), chips.end(), chip) - chips.begin());
}

}  // namespace

StageRoutes::StageRoutes(const Deployment& deployment,
                         const std::vector<std::vector<Group>>& groups, const Topology& topology,
                         const LinkModel& links, const ChipTiming& timing)
    : deployment_(deployment),
      groups_(groups),
      topology_(topology),
      links_(links),
      timing_(timing),
      passage_(topology.num_chips(), Passage::kFree) {
  const auto mark = [this](const std::vector<ChipId>& chips, Passage passage) {
    for (ChipId chip : chips) passage_[chip.value()] = passage;
  };
  for (int n = 0; n < topology.num_nodes(); ++n) {
    if (IsSpareNode(topology, NodeId(n))) mark(topology.chips_of(NodeId(n)), Passage::kSpare);
  }
  for (const Deployment::Stage& stage : deployment.stages) mark(stage.chips, Passage::kBusy);
  for (NodeId node : deployment.failed) mark(topology.chips_of(node), Passage::kClosed);
}

// One to each chip of `to`, since its links into its node carry no more than one cable brings.
std::vector<NodeCable> StageRoutes::DirectCables(int from, int to) const {
  const std::vector<ChipId>&senders = deployment_.stages[from].chips,
        &receivers = deployment_.stages[to].chips;
  std::vector<NodeCable> cables;
  for (size_t member = 0; member < senders.size(); ++member) {
    for (const Link& link : topology_.outgoing(senders[member])) {
      const int at = MemberOf(receivers, link.to);
      const bool taken = std::any_of(cables.begin(), cables.end(),
                                     [at](const NodeCable& c) { return c.to_member == at; });
      if (at == static_cast<int>(receivers.size()) || taken) continue;
      cables.push_back({static_cast<int>(member), static_cast<int>(link.from_port.value()), at,
                        static_cast<int>(link.to_port.value()),
                        FlightCycles(topology_, links_, link.place)});
    }
  }
  return cables;
}

NodeCable StageRoutes::CableOf(const Path& path, int from, int to, int like) const {
  std::vector<NodeLink> cables;
  for (LinkId id : path) {
    const Link& link = topology_.link(id);
    cables.push_back({link.from.value(), static_cast<int>(link.from_port.value()),
                      static_cast<int>(link.to_port.value()),
                      FlightCycles(topology_, links_, link.place)});
  }
  return JoinCables(MemberOf(deployment_.stages[from].chips, topology_.link(path.front()).from),
                    MemberOf(deployment_.stages[to].chips, topology_.link(path.back()).to), cables,
                    like, timing_);
}

std::vector<NodeCable> StageRoutes::Detours(int from, int to) {
  std::vector<NodeCable> cables;
  for (const Path& path : FindDetours(topology_, deployment_.stages[from].chips,
                                      deployment_.stages[to].chips, passage_, kSlicesPerColumn)) {
    cables.push_back(CableOf(path, from, to, cables.empty() ? -1 : cables.front().flight_cycles));
    // Another transfer had better go elsewhere, as the two might be at the same time.
    for (const Relay& relay : cables.back().relays) {
      if (passage_[relay.chip] == Passage::kFree) passage_[relay.chip] = Passage::kBusy;
    }
  }
  return cables;
}

NodeRoute StageRoutes::Spread(int from, int to, const NodeRoute& direct) const {
  if (!direct.relay_chips().empty()) return direct;
  const std::vector<ChipId>& receivers = deployment_.stages[to].chips;
  std::vector<Passage> passage = passage_;
  uint32_t last = 0;
  for (const Deployment::Stage& stage : deployment_.stages) {
    last = std::max(last, stage.chips.back().value());
  }
  for (uint32_t chip = 0; chip < passage.size(); ++chip) {
    if (passage[chip] == Passage::kSpare || chip > last) passage[chip] = Passage::kClosed;
  }
  std::vector<NodeCable> cables = direct.cables();
  for (const NodeCable& c : cables) passage[receivers[c.to_member].value()] = Passage::kClosed;
  const int like = cables.front().flight_cycles;
  const size_t fewest = cables.size();
  for (const Path& path :
       FindDetours(topology_, deployment_.stages[from].chips, receivers, std::move(passage),
                   NodeRoute::kMostShares - static_cast<int>(fewest))) {
    cables.push_back(CableOf(path, from, to, like));
  }
  // So many as the link period has free cycles for.
  for (; cables.size() > fewest; cables.pop_back()) {
    absl::StatusOr<NodeRoute> spread = NodeRoute::Create(cables, groups_[to], timing_);
    if (spread.ok()) return *std::move(spread);
  }
  return direct;
}

absl::StatusOr<NodeRoute> StageRoutes::Between(int from, int to) {
  std::vector<NodeCable> cables = DirectCables(from, to);
  if (cables.empty()) cables = Detours(from, to);
  if (cables.empty()) {
    const NodeId a = deployment_.stages[from].node, b = deployment_.stages[to].node;
    return absl::FailedPreconditionError(
        absl::StrCat("topology ", topology_.name(), ": no way from node ", NodeName(topology_, a),
                     " (stage ", from, ") to node ", NodeName(topology_, b), " (stage ", to,
                     "), neither by a cable nor over third nodes that work"));
  }
  return NodeRoute::Create(std::move(cables), groups_[to], timing_);
}

}  // namespace lockstep
