// Best routes by Dijkstra from the destination (links are two-way, so ways there and back cost the
// same), then a walk that only takes links on a best way.
#include "fabric/routes.h"

#include <functional>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {

RouteCost CostOf(const Link& link, RouteRule rule) {
  RouteCost cost{0, 0, 1};
  if (rule == RouteRule::kFewestHops || link.place == Place::kNode) return cost;
  (link.place == Place::kSystem ? cost.system_links : cost.rack_links) = 1;
  return cost;
}

RouteCost operator+(RouteCost a, RouteCost b) {
  return {a.system_links + b.system_links, a.rack_links + b.rack_links, a.links + b.links};
}

RoutesTo::RoutesTo(const Topology& topology, ChipId to, RouteRule rule)
    : topology_(&topology), to_(to), rule_(rule), cost_(topology.num_chips()) {
  LOCKSTEP_CHECK(static_cast<int>(to.value()) < topology.num_chips(), "%s of %d chips",
                 to.ToString(), topology.num_chips());
  using Entry = std::pair<RouteCost, uint32_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> open;
  cost_[to.value()] = RouteCost{};
  open.push({RouteCost{}, to.value()});
  while (!open.empty()) {
    const auto [cost, chip] = open.top();
    open.pop();
    if (cost != *cost_[chip]) continue;
    for (const Link& link : topology.outgoing(ChipId(chip))) {
      const RouteCost onward = cost + CostOf(link, rule);
      std::optional<RouteCost>& known = cost_[link.to.value()];
      if (known && *known <= onward) continue;
      known = onward;
      open.push({onward, link.to.value()});
    }
  }
}

absl::StatusOr<Path> RoutesTo::From(ChipId from) const {
  LOCKSTEP_CHECK(from.value() < cost_.size(), "%s of %d chips", from.ToString(),
                 topology_->num_chips());
  if (!cost_[from.value()]) {
    return absl::NotFoundError(absl::StrCat("topology ", topology_->name(), ": no route from ",
                                            from.ToString(), " to ", to_.ToString()));
  }
  Path path;
  std::vector<const Link*> best;
  for (ChipId at = from; at != to_; at = topology_->link(path.back()).to) {
    best.clear();
    for (const Link& link : topology_->outgoing(at)) {
      const std::optional<RouteCost>& rest = cost_[link.to.value()];
      if (rest && *rest + CostOf(link, rule_) == *cost_[at.value()]) best.push_back(&link);
    }
    path.push_back(best[(from.value() + to_.value()) % best.size()]->id);
  }
  return path;
}

absl::StatusOr<Path> Route(const Topology& topology, ChipId from, ChipId to, RouteRule rule) {
  for (ChipId chip : {from, to}) {
    if (static_cast<int>(chip.value()) < topology.num_chips()) continue;
    return absl::InvalidArgumentError(absl::StrCat("topology ", topology.name(), " has ",
                                                   topology.num_chips(), " chips; ",
                                                   chip.ToString(), " is not one of them"));
  }
  return RoutesTo(topology, to, rule).From(from);
}

std::vector<Path> TwoHopPaths(const Topology& topology, ChipId from, ChipId to) {
  std::vector<Path> paths;
  for (const Link& first : topology.outgoing(from)) {
    if (first.to == to || first.to == from) continue;
    for (LinkId second : topology.LinksBetween(first.to, to)) {
      paths.push_back({first.id, second});
    }
  }
  return paths;
}

}  // namespace lockstep
