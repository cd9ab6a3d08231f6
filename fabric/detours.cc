// Dijkstra from all senders at once, again for each way, without the chips that ways found before
// take (fabric/detours.h).
#include "fabric/detours.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <queue>
#include <utility>

#include "chip/check.h"

namespace lockstep {
namespace {

// In the order in which they count.
struct Cost {
  uint32_t spare = 0, links = 0, busy = 0, long_cables = 0;
  auto operator<=>(const Cost&) const = default;
};

class Search {
 public:
  Search(const Topology& topology, absl::Span<const ChipId> from, absl::Span<const ChipId> to,
         const std::vector<Passage>& passage)
      : topology_(topology),
        passage_(passage),
        known_(topology.num_chips()),
        last_(topology.num_chips(), nullptr),
        from_(topology.num_chips(), 0),
        to_(topology.num_chips(), 0) {
    for (ChipId chip : from) from_[chip.value()] = 1, Reach(chip, {}, nullptr);
    for (ChipId chip : to) to_[chip.value()] = 1;
  }

  Path Find() {
    while (!open_.empty()) {
      const auto [cost, chip] = open_.top();
      open_.pop();
      if (cost != *known_[chip]) continue;
      if (to_[chip]) return WayTo(ChipId(chip));
      Leave(ChipId(chip), cost);
    }
    return {};
  }

 private:
  using Entry = std::pair<Cost, uint32_t>;

  void Reach(ChipId chip, Cost cost, const Link* by) {
    std::optional<Cost>& known = known_[chip.value()];
    if (known && *known <= cost) return;
    known = cost, last_[chip.value()] = by;
    open_.push({cost, chip.value()});
  }

  void Leave(ChipId chip, Cost cost) {
    for (const Link& link : topology_.outgoing(chip)) {
      const uint32_t next = link.to.value();
      if (from_[next] || passage_[next] == Passage::kClosed) continue;
      if (to_[next] && from_[chip.value()]) continue;  // no detour
      Cost onward = cost;
      ++onward.links;
      onward.spare += !to_[next] && passage_[next] == Passage::kSpare;
      onward.busy += !to_[next] && passage_[next] == Passage::kBusy;
      onward.long_cables += link.place == Place::kSystem;
      Reach(link.to, onward, &link);
    }
  }

  Path WayTo(ChipId chip) const {
    Path path;
    for (const Link* link = last_[chip.value()]; link != nullptr;
         link = last_[link->from.value()]) {
      path.push_back(link->id);
    }
    std::reverse(path.begin(), path.end());
    return path;
  }

  const Topology& topology_;
  const std::vector<Passage>& passage_;
  std::vector<std::optional<Cost>> known_;  // by chip
  std::vector<const Link*> last_;           // by chip: over which it was reached
  std::vector<char> from_, to_;             // by chip
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> open_;
};

}  // namespace

std::vector<Path> FindDetours(const Topology& topology, absl::Span<const ChipId> from,
                              absl::Span<const ChipId> to, std::vector<Passage> passage, int most) {
  LOCKSTEP_CHECK(static_cast<int>(passage.size()) == topology.num_chips(), "%d of %d chips",
                 passage.size(), topology.num_chips());
  std::vector<Path> ways;
  while (static_cast<int>(ways.size()) < most) {
    Path way = Search(topology, from, to, passage).Find();
    if (way.empty()) break;
    for (LinkId link : way) passage[topology.link(link).to.value()] = Passage::kClosed;
    ways.push_back(std::move(way));
  }
  return ways;
}

}  // namespace lockstep
