// Sorts parts by what they need, staying where it is as long as it can (runtime/run/visit_order.h).
#include "runtime/run/visit_order.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "chip/check.h"

namespace lockstep {
namespace {

bool InOneRow(const PipelinePart& a, const PipelinePart& b) {
  return a.shape.sequence == b.shape.sequence && a.position == b.position;
}

bool InOneVisit(const PipelinePart& a, const PipelinePart& b) {
  return a.stage == b.stage && a.shape.relay == b.shape.relay;
}

class Order {
 public:
  explicit Order(absl::Span<const PipelinePart> parts)
      : parts_(parts), next_(parts.size()), needs_(parts.size()) {
    std::map<uint32_t, std::vector<int>> by_chip;
    for (int i = 0; i < static_cast<int>(parts.size()); ++i) {
      if (i > 0 && InOneRow(parts[i - 1], parts[i])) Follows(i - 1, i);
      for (uint32_t chip : parts[i].chips) by_chip[chip].push_back(i);
    }
    for (auto& [chip, of_chip] : by_chip) {
      std::stable_sort(of_chip.begin(), of_chip.end(),
                       [&](int a, int b) { return parts[a].start < parts[b].start; });
      for (size_t i = 1; i < of_chip.size(); ++i) Follows(of_chip[i - 1], of_chip[i]);
    }
    for (int i = 0; i < static_cast<int>(parts.size()); ++i) {
      if (needs_[i] == 0) AddReady(i);
    }
  }

  std::vector<Visit> Take() {
    std::vector<Visit> visits;
    size_t taken = 0;
    for (; !ready_.empty(); ++taken) {
      const PipelinePart* last = visits.empty() ? nullptr : visits.back().back();
      auto at = std::find_if(ready_.begin(), ready_.end(), [&](const Ready& ready) {
        return last != nullptr && InOneVisit(*last, parts_[ready.second]);
      });
      if (at == ready_.end()) {
        at = ready_.begin();
        visits.emplace_back();
      }
      const int part = at->second;
      ready_.erase(at);
      visits.back().push_back(&parts_[part]);
      for (int later : next_[part]) {
        if (--needs_[later] == 0) AddReady(later);
      }
    }
    LOCKSTEP_CHECK(taken == parts_.size(), "%d of %d parts wait for each other",
                   parts_.size() - taken, parts_.size());
    return visits;
  }

 private:
  using Ready = std::pair<int64_t, int>;  // start, part

  void Follows(int part, int later) { next_[part].push_back(later), ++needs_[later]; }
  void AddReady(int part) { ready_.emplace(parts_[part].start, part); }

  const absl::Span<const PipelinePart> parts_;
  std::vector<std::vector<int>> next_;  // by part: those that need it
  std::vector<int> needs_;              // by part: how many it still waits for
  std::set<Ready> ready_;
};

}  // namespace

std::vector<Visit> VisitsOf(absl::Span<const PipelinePart> parts) { return Order(parts).Take(); }

}  // namespace lockstep
