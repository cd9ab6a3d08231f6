#pragma once
// Counting hops, exactly, over the wiring itself (never from a formula).
//
// The published "hops" are counted in three ways, which differ (ISCA'22 states 5 for 10,440 chips):
//   chip diameter         links between the two chips farthest apart                 264: 3 10440:
//   7 node-to-node          links from the nearest chip of one node to the nearest chip
//                         of another: hops inside the two end nodes do not count     264: 1 10440:
//                         5
//   node graph            nodes as vertices, hops inside nodes on the way free too   264: 1 10440:
//   3

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "chip/types.h"
#include "fabric/topology.h"

namespace lockstep {

// Links from the nearest of `sources` to each chip; nothing where there is no way.
std::vector<std::optional<int>> HopsFrom(const Topology& topology,
                                         absl::Span<const ChipId> sources);

// The chips 0 .. n-1 of this number n see between them every picture that a chip of the topology
// can see: the wiring maps to itself under chip -> chip + n (mod all), or, in a lone torus, under
// a step along each dimension (n = 1). Tested link by link, never assumed; num_chips() when no
// such symmetry holds (a Subset). 72 for 10,440 chips, 8 for racks, 1 for a node.
int DistinctViews(const Topology& topology);

struct HopCounts {
  int chip_diameter = 0;
  int node_to_node = 0;
  int node_graph = 0;
  std::pair<ChipId, ChipId> farthest = {ChipId(0), ChipId(0)};  // first pair at chip_diameter
  std::vector<int64_t> pairs_at;    // ordered pairs of chips at distance [d], d = 0 .. diameter
  int64_t pairs_without_route = 0;  // not counted in anything above
  double MeanHops() const;          // over pairs of different chips; 0 when there are none
};

// Breadth-first from DistinctViews() chips: O(views x links).
HopCounts CountHops(const Topology& topology);

}  // namespace lockstep
