// Depth first over racks: which rack comes next, and which cable leads there.
#include "fabric/node_chain.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "chip/check.h"

namespace lockstep {
namespace {

// Ways tried before a search is given up; published wirings need one or two a rack.
constexpr int kMostTries = 200'000;

int NodesPerUnit(const Topology& topology) {
  const TopologySpec& spec = topology.spec();
  return spec.rack ? spec.rack->units : topology.num_nodes();
}

class ChainSearch {
 public:
  ChainSearch(const Topology& topology, absl::Span<const NodeId> nodes) {
    const int per_unit = NodesPerUnit(topology);
    std::vector<char> usable(topology.num_nodes(), 0);
    for (NodeId node : nodes) usable[node.value()] = 1;
    units_.resize((topology.num_nodes() + per_unit - 1) / per_unit);
    for (uint32_t n = 0; n < usable.size(); ++n) {
      if (usable[n]) units_[n / per_unit].push_back(NodeId(n));
    }
    visited_.resize(units_.size());
    doors_.resize(units_.size());
    std::map<std::pair<NodeId, NodeId>, int> cables;
    for (const Link& link : topology.links()) {
      const NodeId from = topology.node_of(link.from), to = topology.node_of(link.to);
      if (from.value() / per_unit == to.value() / per_unit) continue;
      if (usable[from.value()] && usable[to.value()]) ++cables[{from, to}];
    }
    for (const auto& [ends, count] : cables) {
      doors_[ends.first.value() / per_unit].push_back(
          {static_cast<int>(ends.second.value()) / per_unit, ends.first, ends.second, count});
    }
    for (std::vector<Door>& doors : doors_) {
      std::stable_sort(doors.begin(), doors.end(), [](const Door& a, const Door& b) {
        return a.unit != b.unit ? a.unit < b.unit : a.cables > b.cables;
      });
    }
  }

  bool Find(int length) {
    for (size_t unit = 0; unit < units_.size(); ++unit) {
      if (Visit(static_cast<int>(unit), nullptr, length)) return true;
    }
    return false;
  }
  const std::vector<NodeId>& chain() const { return chain_; }

 private:
  // A cabled pair of nodes: from `exit` of one unit to `entry` of `unit`.
  struct Door {
    int unit;
    NodeId exit, entry;
    int cables;
  };

  void Append(const std::vector<NodeId>& nodes, const NodeId* entry, const NodeId* exit,
              int count) {
    if (entry != nullptr) chain_.push_back(*entry), --count;
    if (exit != nullptr) --count;
    for (NodeId node : nodes) {
      if ((entry != nullptr && node == *entry) || (exit != nullptr && node == *exit)) continue;
      if (count-- > 0) chain_.push_back(node);
    }
    if (exit != nullptr) chain_.push_back(*exit);
  }

  // Appends `length` nodes more, from unit `unit` on, which is entered at `entry` (null: anywhere).
  bool Visit(int unit, const NodeId* entry, int length) {
    const std::vector<NodeId>& nodes = units_[unit];
    const int size = static_cast<int>(nodes.size());
    if (size == 0 || ++tries_ > kMostTries) return false;
    const size_t before = chain_.size();
    if (length <= size) {
      Append(nodes, entry, nullptr, length);
      return true;
    }
    visited_[unit] = true;
    for (const Door& door : doors_[unit]) {
      if (visited_[door.unit]) continue;
      if (entry != nullptr && door.exit == *entry) {
        if (size > 1) continue;
        Append(nodes, entry, nullptr, 1);
      } else {
        Append(nodes, entry, &door.exit, size);
      }
      if (Visit(door.unit, &door.entry, length - size)) return true;
      chain_.resize(before, NodeId(0));
    }
    visited_[unit] = false;
    return false;
  }

  std::vector<std::vector<NodeId>> units_;  // usable nodes, ascending
  std::vector<std::vector<Door>> doors_;
  std::vector<char> visited_;
  std::vector<NodeId> chain_;
  int tries_ = 0;
};

}  // namespace

std::string NodeName(const Topology& topology, NodeId node) {
  if (!topology.spec().rack) return absl::StrCat(node.value());
  const uint32_t per_rack = topology.spec().rack->units;
  return absl::StrCat(node.value() / per_rack, ".", node.value() % per_rack);
}

absl::StatusOr<NodeId> ParseNodeName(const Topology& topology, absl::string_view name) {
  const int racks = topology.num_racks(), per_rack = NodesPerUnit(topology);
  const std::string allowed =
      racks > 0 ? absl::StrCat("RACK.NODE, racks 0..", racks - 1, ", nodes 0..", per_rack - 1)
                : absl::StrCat("nodes 0..", per_rack - 1);
  const auto bad = [&] {
    return absl::InvalidArgumentError(absl::StrCat("no node \"", name, "\" in topology ",
                                                   topology.name(), ", which has ", allowed));
  };
  std::vector<absl::string_view> parts = absl::StrSplit(name, '.');
  if (parts.size() != (racks > 0 ? 2u : 1u)) return bad();
  uint32_t rack = 0, node = 0;
  if (!absl::SimpleAtoi(parts.back(), &node) || node >= static_cast<uint32_t>(per_rack)) {
    return bad();
  }
  if (racks > 0 && (!absl::SimpleAtoi(parts[0], &rack) || rack >= static_cast<uint32_t>(racks))) {
    return bad();
  }
  const uint32_t id = rack * static_cast<uint32_t>(per_rack) + node;
  if (id >= static_cast<uint32_t>(topology.num_nodes())) return bad();
  return NodeId(id);
}

bool IsSpareNode(const Topology& topology, NodeId node) {
  return topology.is_spare(ChipId(node.value() * topology.chips_per_node()));
}

std::vector<NodeId> WorkingNodes(const Topology& topology) {
  std::vector<NodeId> nodes;
  for (int n = 0; n < topology.num_nodes(); ++n) {
    if (!IsSpareNode(topology, NodeId(n))) nodes.push_back(NodeId(n));
  }
  return nodes;
}

int CablesBetween(const Topology& topology, NodeId a, NodeId b) {
  int cables = 0;
  for (ChipId chip : topology.chips_of(a)) {
    for (const Link& link : topology.outgoing(chip)) cables += topology.node_of(link.to) == b;
  }
  return cables;
}

absl::StatusOr<std::vector<NodeId>> FindNodeChain(const Topology& topology,
                                                  absl::Span<const NodeId> nodes, int length) {
  if (length < 1 || length > static_cast<int>(nodes.size())) {
    return absl::ResourceExhaustedError(absl::StrCat("topology ", topology.name(), " has ",
                                                     nodes.size(), " nodes to work with; ", length,
                                                     " are needed"));
  }
  ChainSearch search(topology, nodes);
  if (!search.Find(length)) {
    return absl::FailedPreconditionError(
        absl::StrCat("topology ", topology.name(), ": no chain of ", length, " of its ",
                     nodes.size(), " nodes in which each is cabled to the next"));
  }
  RETURN_IF_ERROR(CheckNodeChain(topology, search.chain()));
  return search.chain();
}

absl::Status CheckNodeChain(const Topology& topology, absl::Span<const NodeId> chain) {
  for (size_t i = 1; i < chain.size(); ++i) {
    if (CablesBetween(topology, chain[i - 1], chain[i]) > 0) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "topology ", topology.name(), ": no cable from node ", NodeName(topology, chain[i - 1]),
        " to node ", NodeName(topology, chain[i]), ", which hold stages ", i - 1, " and ", i));
  }
  return absl::OkStatus();
}

}  // namespace lockstep
