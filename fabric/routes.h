#pragma once
// Routes chosen at compile time: the hardware has no routing of its own, a route is a list of links
// that the schedule books one after the other.
//
//   kFewestHops        the fewest links.
//   kFewestLongCables  fewest cables between racks first, then between nodes, then hops: the
//                      "minimal" route of a dragonfly (local - global - local), which spends the
//                      scarce long cables last. In a node both are the same.
//
// Of equally good ways the choice is by rule, not by chance: at a chip with k equally good links,
// in order of ports, link number (from + to) mod k is taken, so pairs of chips spread over
// parallel cables.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/types.h"
#include "fabric/topology.h"

namespace lockstep {

enum class RouteRule { kFewestHops, kFewestLongCables };

using Path = std::vector<LinkId>;  // each link starts where the one before ends; may be empty

// Cost of a way: compared first by rack-to-rack links, then node-to-node links, then all links.
struct RouteCost {
  uint32_t system_links = 0;
  uint32_t rack_links = 0;
  uint32_t links = 0;
  auto operator<=>(const RouteCost&) const = default;
};

// Cost of `link` alone under `rule` (kFewestHops counts `links` only).
RouteCost CostOf(const Link& link, RouteRule rule);
RouteCost operator+(RouteCost a, RouteCost b);

// All best routes to one chip; O(links x log chips) to build, then O(route) each.
class RoutesTo {
 public:
  // `topology` must outlive this. REQUIRES: to < num_chips().
  RoutesTo(const Topology& topology, ChipId to, RouteRule rule = RouteRule::kFewestHops);

  // Cost from `from`; nothing when there is no way (possible in a Subset only).
  std::optional<RouteCost> CostFrom(ChipId from) const { return cost_[from.value()]; }

  // The route; empty from `to` itself; NotFound naming both chips when there is no way.
  absl::StatusOr<Path> From(ChipId from) const;

 private:
  const Topology* topology_;
  ChipId to_;
  RouteRule rule_;
  std::vector<std::optional<RouteCost>> cost_;
};

// One route: RoutesTo(topology, to, rule).From(from). InvalidArgument for a chip not there.
absl::StatusOr<Path> Route(const Topology& topology, ChipId from, ChipId to,
                           RouteRule rule = RouteRule::kFewestHops);

// Every path of exactly two links from `from` to `to` over a third chip, in order of ports: the
// non-minimal paths of a node (6 in one of 8 chips; ISCA'22 section 4.3).
std::vector<Path> TwoHopPaths(const Topology& topology, ChipId from, ChipId to);

}  // namespace lockstep
