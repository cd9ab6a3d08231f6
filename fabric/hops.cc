// Breadth-first searches from one chip of each kind, the kinds found by testing symmetries.
#include "fabric/hops.h"

#include <algorithm>
#include <set>

namespace lockstep {
namespace {

// Whether renaming every chip c to `renamed(c)` leaves all links, ports included, in place.
template <typename Renaming>
bool MapsToItself(const Topology& topology, const Renaming& renamed) {
  for (const Link& link : topology.links()) {
    const Link* image = topology.link_at(ChipId(renamed(link.from.value())), link.from_port);
    if (image == nullptr || image->to.value() != renamed(link.to.value()) ||
        image->to_port != link.to_port || image->place != link.place) {
      return false;
    }
  }
  return true;
}

bool IsTranslationInvariantTorus(const Topology& topology) {
  const NodeRule& node = topology.spec().node;
  if (node.local != LocalWiring::kTorus || node.chips != topology.num_chips()) return false;
  uint32_t stride = 1;
  for (int dim_size : node.torus_dims) {
    const uint32_t dim = static_cast<uint32_t>(dim_size);
    const auto step = [=](uint32_t chip) {
      const uint32_t coordinate = chip / stride % dim;
      return chip + (coordinate + 1) % dim * stride - coordinate * stride;
    };
    if (!MapsToItself(topology, step)) return false;
    stride *= dim;
  }
  return true;
}

// As HopsFrom, with -1 where there is no way: this is the inner loop of every count.
std::vector<int> Search(const Topology& topology, absl::Span<const ChipId> sources) {
  std::vector<int> hops(topology.num_chips(), -1);
  std::vector<ChipId> queue;
  queue.reserve(topology.num_chips());
  for (ChipId source : sources) {
    if (hops[source.value()] == 0) continue;
    hops[source.value()] = 0;
    queue.push_back(source);
  }
  for (size_t head = 0; head < queue.size(); ++head) {
    const ChipId chip = queue[head];
    for (const Link& link : topology.outgoing(chip)) {
      int& known = hops[link.to.value()];
      if (known >= 0) continue;
      known = hops[chip.value()] + 1;
      queue.push_back(link.to);
    }
  }
  return hops;
}

// Hops over nodes as vertices from one node to the farthest that can be reached.
int NodeGraphDepth(const Topology& topology, NodeId source) {
  std::vector<int> hops(topology.num_nodes(), -1);
  std::vector<NodeId> queue = {source};
  hops[source.value()] = 0;
  for (size_t head = 0; head < queue.size(); ++head) {
    const NodeId node = queue[head];
    for (ChipId chip : topology.chips_of(node)) {
      for (const Link& link : topology.outgoing(chip)) {
        const NodeId next = topology.node_of(link.to);
        if (hops[next.value()] >= 0) continue;
        hops[next.value()] = hops[node.value()] + 1;
        queue.push_back(next);
      }
    }
  }
  return hops[queue.back().value()];
}

void CountFromChip(const Topology& topology, ChipId source, HopCounts& counts) {
  const std::vector<int> hops = Search(topology, {&source, 1});
  for (int chip = 0; chip < topology.num_chips(); ++chip) {
    const int distance = hops[chip];
    if (distance < 0) {
      ++counts.pairs_without_route;
      continue;
    }
    if (distance >= static_cast<int>(counts.pairs_at.size())) counts.pairs_at.resize(distance + 1);
    ++counts.pairs_at[distance];
    if (distance > counts.chip_diameter) {
      counts.chip_diameter = distance;
      counts.farthest = {source, ChipId(chip)};
    }
  }
}

void CountFromNode(const Topology& topology, NodeId node, HopCounts& counts) {
  const std::vector<ChipId> sources = topology.chips_of(node);
  const std::vector<int> hops = Search(topology, sources);
  for (int other = 0; other < topology.num_nodes(); ++other) {
    int nearest = -1;
    for (ChipId chip : topology.chips_of(NodeId(other))) {
      const int distance = hops[chip.value()];
      if (distance >= 0 && (nearest < 0 || distance < nearest)) nearest = distance;
    }
    counts.node_to_node = std::max(counts.node_to_node, nearest);
  }
  counts.node_graph = std::max(counts.node_graph, NodeGraphDepth(topology, node));
}

}  // namespace

std::vector<std::optional<int>> HopsFrom(const Topology& topology,
                                         absl::Span<const ChipId> sources) {
  std::vector<std::optional<int>> result;
  for (int hops : Search(topology, sources)) {
    result.push_back(hops < 0 ? std::nullopt : std::optional<int>(hops));
  }
  return result;
}

int DistinctViews(const Topology& topology) {
  if (IsTranslationInvariantTorus(topology)) return 1;
  const uint32_t chips = static_cast<uint32_t>(topology.num_chips());
  const int per_node = topology.chips_per_node();
  const int per_rack = per_node * (topology.spec().rack ? topology.spec().rack->units : 1);
  for (int views : {1, per_node, per_rack}) {
    if (chips % static_cast<uint32_t>(views) != 0) continue;
    const auto rotate = [=](uint32_t c) { return (c + static_cast<uint32_t>(views)) % chips; };
    if (MapsToItself(topology, rotate)) return views;
  }
  return topology.num_chips();
}

HopCounts CountHops(const Topology& topology) {
  HopCounts counts;
  const int views = DistinctViews(topology);
  for (int chip = 0; chip < views; ++chip) CountFromChip(topology, ChipId(chip), counts);
  std::set<uint32_t> nodes;
  for (int chip = 0; chip < views; ++chip) nodes.insert(topology.node_of(ChipId(chip)).value());
  for (uint32_t node : nodes) CountFromNode(topology, NodeId(node), counts);
  const int64_t copies = topology.num_chips() / views;
  for (int64_t& pairs : counts.pairs_at) pairs *= copies;
  counts.pairs_without_route *= copies;
  return counts;
}

double HopCounts::MeanHops() const {
  int64_t pairs = 0, hops = 0;
  for (size_t d = 1; d < pairs_at.size(); ++d) {
    pairs += pairs_at[d];
    hops += pairs_at[d] * static_cast<int64_t>(d);
  }
  return pairs == 0 ? 0.0 : static_cast<double>(hops) / static_cast<double>(pairs);
}

}  // namespace lockstep
