// Counts over the links of a topology. Uniform traffic is routed from one chip of each kind
// (DistinctViews) and the load of a link is the sum over all links that look alike: exactly the
// load that all chips together would put on it.
#include "fabric/topology_stats.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "fabric/routes.h"

namespace lockstep {
namespace {

constexpr int kMaxNodesToHalve = 16;

// The unit of the topmost level that a chip stands in.
int TopUnit(const Topology& topology, ChipId chip) {
  const TopologySpec& spec = topology.spec();
  if (spec.system && spec.rack) return static_cast<int>(topology.rack_of(chip)->value());
  if (spec.system || spec.rack) return static_cast<int>(topology.node_of(chip).value());
  return static_cast<int>(chip.value());
}

// Flows of one unit from `source` to each chip of another unit, added to `load` per kind of link:
// [chip mod views][port].
class FlowsFrom {
 public:
  FlowsFrom(const Topology& topology, ChipId source)
      : topology_(topology),
        source_(source),
        costs_(topology, source, RouteRule::kFewestLongCables),
        ways_(topology.num_chips(), 0.0),
        through_(topology.num_chips(), 0.0) {
    for (int chip = 0; chip < topology.num_chips(); ++chip) {
      if (costs_.CostFrom(ChipId(chip))) order_.push_back(static_cast<uint32_t>(chip));
    }
    std::stable_sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) {
      return *costs_.CostFrom(ChipId(a)) < *costs_.CostFrom(ChipId(b));
    });
  }

  void AddTo(std::vector<double>& load, int views) {
    ways_[source_.value()] = 1.0;
    for (uint32_t chip : order_) {
      for (const Link& link : topology_.outgoing(ChipId(chip))) {
        if (OnBestWay(link)) ways_[link.to.value()] += ways_[chip];
      }
    }
    const int own = TopUnit(topology_, source_);
    for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
      double& flow = through_[*it];
      if (TopUnit(topology_, ChipId(*it)) != own) flow += 1.0;
      for (const Link& link : topology_.outgoing(ChipId(*it))) {
        if (!OnBestWay(topology_.reverse(link))) continue;
        const double share = flow * ways_[link.to.value()] / ways_[*it];
        through_[link.to.value()] += share;
        load[link.to.value() % static_cast<uint32_t>(views) * kPortsPerChip +
             link.to_port.value()] += share;
      }
    }
  }

 private:
  bool OnBestWay(const Link& link) const {
    return *costs_.CostFrom(link.from) + CostOf(link, RouteRule::kFewestLongCables) ==
           *costs_.CostFrom(link.to);
  }

  const Topology& topology_;
  ChipId source_;
  RoutesTo costs_;               // ways to the source cost what ways from it do
  std::vector<double> ways_;     // number of minimal routes from the source
  std::vector<double> through_;  // flow that arrives at or passes a chip
  std::vector<uint32_t> order_;  // reachable chips, nearest first
};

std::vector<CableCount> CountCables(const Topology& topology) {
  const TopologySpec& spec = topology.spec();
  std::vector<CableCount> counts = {
      {Place::kNode, spec.node.cable.kind, spec.node.cable.length_mm, 0}};
  if (spec.rack) {
    counts.push_back({Place::kRack, spec.rack->cable.kind, spec.rack->cable.length_mm, 0});
  }
  if (spec.system) {
    counts.push_back({Place::kSystem, spec.system->cable.kind, spec.system->cable.length_mm, 0});
  }
  for (const Link& link : topology.links()) {
    if (link.from > link.to) continue;  // once per cable
    for (CableCount& count : counts) count.cables += count.place == link.place;
  }
  return counts;
}

NodeCables CountNodeCables(const Topology& topology) {
  NodeCables cables;
  for (ChipId chip : topology.chips_of(NodeId(0))) {
    for (const Link& link : topology.outgoing(chip)) {
      if (link.place == Place::kNode && link.from > link.to) continue;
      cables.internal += link.place == Place::kNode;
      cables.to_rack += link.place == Place::kRack;
      cables.to_system += link.place == Place::kSystem;
      cables.electrical += link.cable != CableKind::kActiveOptical;
    }
  }
  return cables;
}

// Least number of links from one half of `nodes` to the other, over all halvings; odd numbers are
// split as evenly as can be. Above kMaxNodesToHalve only the halving in order is tried.
std::pair<int64_t, int> LeastCut(const std::vector<std::vector<int64_t>>& links) {
  const uint32_t n = static_cast<uint32_t>(links.size());
  const auto crossing = [&](const auto& in_half) {
    int64_t sum = 0;
    for (uint32_t a = 0; a < n; ++a) {
      for (uint32_t b = 0; b < n; ++b) sum += in_half(a) && !in_half(b) ? links[a][b] : 0;
    }
    return sum;
  };
  if (n < 2) return {0, 0};
  if (n > kMaxNodesToHalve) return {crossing([&](uint32_t a) { return a < n / 2; }), 1};
  int64_t least = -1;
  int tried = 0;
  for (uint32_t half = 0; half < (1u << n); ++half) {
    if (std::popcount(half) != static_cast<int>(n / 2)) continue;
    if (n % 2 == 0 && (half & 1u) == 0) continue;  // its complement is tried
    const int64_t cut = crossing([&](uint32_t a) { return (half >> a & 1u) != 0; });
    least = least < 0 ? cut : std::min(least, cut);
    ++tried;
  }
  return {least, tried};
}

}  // namespace

UniformTraffic ComputeUniformTraffic(const Topology& topology) {
  UniformTraffic result;
  const int views = DistinctViews(topology);
  std::vector<double> load(static_cast<size_t>(views) * kPortsPerChip, 0.0);
  for (int chip = 0; chip < views; ++chip) {
    FlowsFrom(topology, ChipId(chip)).AddTo(load, views);
  }
  for (int chip = 0; chip < topology.num_chips(); ++chip) {
    result.destinations += TopUnit(topology, ChipId(chip)) != TopUnit(topology, ChipId(0));
  }
  double most = 0.0;
  for (int chip = 0; chip < views; ++chip) {
    for (const Link& link : topology.outgoing(ChipId(chip))) {
      const double carried = load[link.from.value() * kPortsPerChip + link.from_port.value()];
      // The later level wins a tie up to rounding: long cables are what one would add.
      if (carried < most * (1.0 - 1e-9)) continue;
      if (carried > most * (1.0 + 1e-9) || link.place > result.bottleneck) {
        result.bottleneck = link.place;
      }
      most = std::max(most, carried);
    }
  }
  if (most > 0.0) {
    result.mb_per_s_per_chip = static_cast<double>(result.destinations) / most *
                               static_cast<double>(topology.spec().link.MegabytesPerSecond());
  }
  return result;
}

std::optional<RackBandwidth> ComputeRackBandwidth(const Topology& topology) {
  if (!topology.spec().rack) return std::nullopt;
  const GroupRule& rule = *topology.spec().rack;
  const int working_nodes = rule.units - rule.spare_units;
  std::vector<std::vector<int64_t>> between(working_nodes, std::vector<int64_t>(working_nodes, 0));
  int64_t all_ports = 0, working_ports = 0;
  for (const Link& link : topology.links()) {
    const int node = static_cast<int>(topology.node_of(link.from).value());
    if (node >= rule.units) break;
    if (link.place == Place::kNode) continue;
    ++all_ports;
    if (node >= working_nodes) continue;
    ++working_ports;
    const int peer = static_cast<int>(topology.node_of(link.to).value());
    if (peer < working_nodes) ++between[node][peer];
  }
  const auto [cut, tried] = LeastCut(between);
  const int64_t rate = topology.spec().link.MegabytesPerSecond();
  return RackBandwidth{all_ports * rate, working_ports * rate, cut * rate, tried};
}

TopologyStats ComputeStats(const Topology& topology) {
  TopologyStats stats;
  stats.chips = topology.num_chips();
  for (int chip = 0; chip < stats.chips; ++chip) {
    stats.working_chips += !topology.is_spare(ChipId(chip));
  }
  stats.nodes = topology.num_nodes();
  stats.racks = topology.num_racks();
  stats.links = topology.num_links();
  stats.cables = topology.num_cables();
  stats.cable_counts = CountCables(topology);
  stats.node_cables = CountNodeCables(topology);
  stats.hops = CountHops(topology);
  stats.link_mb_per_s = topology.spec().link.MegabytesPerSecond();
  for (const Link& link : topology.outgoing(ChipId(0))) {
    (link.place == Place::kNode ? stats.local_mb_per_s_per_chip : stats.global_mb_per_s_per_chip) +=
        stats.link_mb_per_s;
  }
  stats.uniform = ComputeUniformTraffic(topology);
  stats.rack = ComputeRackBandwidth(topology);
  return stats;
}

}  // namespace lockstep
