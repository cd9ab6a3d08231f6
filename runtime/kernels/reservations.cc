// Cycles and words that blocks hold (runtime/kernels/reservations.h).
#include "runtime/kernels/reservations.h"

#include <algorithm>

#include "chip/check.h"

namespace lockstep {
namespace {

// Calls visit(address, first cycle, last cycle) for every word that an access may touch.
template <typename Visit>
void ForEachWord(const SramAccess& a, const Visit& visit) {
  const int64_t last = a.first + int64_t{a.count - 1} * a.period;
  if (a.reach > 1 || a.stride == 0) {
    const int end = std::min(a.address + a.stride * (a.count - 1) + a.reach, kWordsPerSlice);
    for (int w = a.address; w < end; ++w) visit(w, a.first, last);
    return;
  }
  for (int i = 0; i < a.count; ++i) {
    const int64_t at = a.first + int64_t{i} * a.period;
    visit(a.address + i * a.stride, at, at);
  }
}

}  // namespace

int64_t TakenCycles::FirstFree(int64_t from, int64_t length) const {
  auto it = std::lower_bound(taken_.begin(), taken_.end(), from,
                             [](const auto& taken, int64_t cycle) { return taken.second < cycle; });
  for (; it != taken_.end() && it->first < from + length; ++it) from = it->second + 1;
  return from;
}

void TakenCycles::Take(int64_t from, int64_t to) {
  auto next =
      std::lower_bound(taken_.begin(), taken_.end(), from,
                       [](const auto& taken, int64_t cycle) { return taken.first < cycle; });
  LOCKSTEP_CHECK(next == taken_.end() || next->first > to, "cycle %d is taken", next->first);
  const bool joins_next = next != taken_.end() && next->first == to + 1;
  if (next != taken_.begin() && std::prev(next)->second >= from - 1) {
    const auto previous = std::prev(next);
    LOCKSTEP_CHECK(previous->second < from, "cycle %d is taken", from);
    previous->second = joins_next ? next->second : to;
    if (joins_next) taken_.erase(next);
  } else if (joins_next) {
    next->first = from;
  } else {
    taken_.insert(next, {from, to});
  }
}

int64_t SramOrder::Delay(const SramAccess& access) const {
  const std::vector<Word>& words = words_[access.slice];
  int64_t delay = INT64_MIN;
  if (words.empty()) return delay;
  ForEachWord(access, [&](int address, int64_t first, int64_t) {
    if (address < 0 || address >= kWordsPerSlice) return;  // refused elsewhere
    const Word& w = words[address];
    const int64_t after = access.write ? std::max(w.read, w.written) : w.written;
    delay = std::max(delay, after + 1 - first);
  });
  return delay;
}

void SramOrder::Record(const SramAccess& access, int64_t delay) {
  std::vector<Word>& words = words_[access.slice];
  if (words.empty()) words.resize(kWordsPerSlice);
  ForEachWord(access, [&](int address, int64_t, int64_t last) {
    if (address < 0 || address >= kWordsPerSlice) return;
    int64_t& time = access.write ? words[address].written : words[address].read;
    time = std::max(time, last + delay);
  });
}

}  // namespace lockstep
