// Cables between units, found once (runtime/collectives/reduction_tree.h).
#include "runtime/collectives/reduction_tree.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/routes.h"

namespace lockstep {

uint32_t ReductionTrees::UnitOf(ChipId chip, int level) const {
  const auto rack = level == 1 ? topology_->rack_of(chip) : std::nullopt;
  return rack ? rack->value() : topology_->node_of(chip).value();
}

absl::Status ReductionTrees::Index(int level, Place place) {
  std::vector<std::pair<uint64_t, uint32_t>> found;
  for (const Link& link : topology_->links()) {
    if (link.place != place) continue;
    const uint64_t from = UnitOf(link.from, level), to = UnitOf(link.to, level);
    found.emplace_back(from << 32 | to, link.id.value());
  }
  std::sort(found.begin(), found.end());
  Level& l = levels_[level];
  for (const auto& [key, link] : found) {
    if (l.keys.empty() || l.keys.back() != key) {
      l.keys.push_back(key);
      l.first.push_back(static_cast<uint32_t>(l.links.size()));
    }
    l.links.push_back(link);
  }
  l.first.push_back(static_cast<uint32_t>(l.links.size()));
  return absl::OkStatus();
}

absl::StatusOr<ReductionTrees> ReductionTrees::Create(const Topology& topology) {
  ReductionTrees trees(topology);
  RETURN_IF_ERROR(trees.Index(0, Place::kRack));
  RETURN_IF_ERROR(trees.Index(1, Place::kSystem));
  // Every pair of units of one group is joined.
  const int chips = topology.num_chips();
  const int per_rack =
      topology.chips_per_node() * (topology.spec().rack ? topology.spec().rack->units : 1);
  const auto joined = [&](int level, int first, int last, int step) -> absl::Status {
    for (int a = first; a < last; a += step) {
      for (int b = first; b < last; b += step) {
        const uint32_t from = trees.UnitOf(ChipId(a), level), to = trees.UnitOf(ChipId(b), level);
        if (from == to || !trees.Cables(level, from, to).empty()) continue;
        return absl::NotFoundError(absl::StrCat(
            "topology ", topology.name(), " with ", chips, " chips: no cable joins ",
            level == 1 && topology.spec().rack ? "rack " : "node ", from, " and ", to));
      }
    }
    return absl::OkStatus();
  };
  for (int rack = 0; topology.spec().rack && rack < chips; rack += per_rack) {
    RETURN_IF_ERROR(joined(0, rack, std::min(chips, rack + per_rack), topology.chips_per_node()));
  }
  RETURN_IF_ERROR(joined(1, 0, chips, per_rack));
  return trees;
}

absl::Span<const uint32_t> ReductionTrees::Cables(int level, uint32_t from, uint32_t to) const {
  const Level& l = levels_[level];
  const uint64_t key = uint64_t{from} << 32 | to;
  const auto at = std::lower_bound(l.keys.begin(), l.keys.end(), key);
  if (at == l.keys.end() || *at != key) return {};
  const size_t i = static_cast<size_t>(at - l.keys.begin());
  return absl::MakeConstSpan(l.links).subspan(l.first[i], l.first[i + 1] - l.first[i]);
}

const Link& ReductionTrees::NextInNode(ChipId chip, ChipId root, uint32_t spread) const {
  const std::vector<LinkId> direct = topology_->LinksBetween(chip, root);
  if (!direct.empty()) return topology_->link(direct[spread % direct.size()]);
  const absl::StatusOr<Path> path = Route(*topology_, chip, root, RouteRule::kFewestLongCables);
  LOCKSTEP_CHECK(path.ok(), "%s", path.status().ToString());
  return topology_->link(path->front());
}

const Link& ReductionTrees::Next(ChipId chip, ChipId root, uint32_t spread) const {
  for (int level : {1, 0}) {
    const uint32_t from = UnitOf(chip, level), to = UnitOf(root, level);
    if (from == to) continue;
    const absl::Span<const uint32_t> cables = Cables(level, from, to);
    LOCKSTEP_CHECK(!cables.empty(), "no cable from unit %d to %d", from, to);
    const Link& cable = topology_->link(LinkId(cables[spread % cables.size()]));
    if (cable.from == chip) return cable;
    root = cable.from;
  }
  return NextInNode(chip, root, spread);
}

}  // namespace lockstep
