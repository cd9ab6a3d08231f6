// Merging dispatches: a counting sort by cycle, window by window, over the queues in their order
// (chip/prepared.h). Runs of one queue follow each other in time but for joined pairs, so a queue's
// runs that touch a window are found from a cursor.
#include "chip/prepared.h"

#include <algorithm>
#include <array>

#include "chip/check.h"
#include "chip/digest.h"
#include "chip/queue.h"

namespace lockstep {
namespace {

constexpr int64_t kWindow = 1 << 16;  // cycles

// Calls fn(run index, cycle) for each dispatch of runs[at] in [from, to).
template <typename Fn>
void ForEachIn(const Run& run, int64_t from, int64_t to, const Fn& fn) {
  int64_t i = run.first >= from ? 0 : (from - run.first + run.period - 1) / run.period;
  const int64_t end = std::min<int64_t>(run.count, (to - run.first + run.period - 1) / run.period);
  for (; i < end; ++i) fn(run.cycle(i) - from);
}

}  // namespace

PreparedProgram::PreparedProgram(std::shared_ptr<const Schedule> schedule)
    : schedule_(std::move(schedule)), schedule_hash_(ScheduleHash(*schedule_)) {
  const std::vector<Run>& runs = schedule_->runs;
  std::array<std::vector<uint32_t>, kQueues> by_queue;
  for (size_t r = 0; r < runs.size(); ++r) by_queue[runs[r].queue].push_back(r);
  order_.reserve(schedule_->dispatches);
  std::array<size_t, kQueues> cursor{};
  std::vector<uint32_t> start(kWindow + 1);
  std::vector<uint32_t> touching;  // runs of the window, by queue, then index
  for (int64_t from = 0; from < schedule_->end; from += kWindow) {
    const int64_t to = from + kWindow;
    touching.clear();
    for (int q = 0; q < kQueues; ++q) {
      const std::vector<uint32_t>& list = by_queue[q];
      while (cursor[q] < list.size() && runs[list[cursor[q]]].last() < from) ++cursor[q];
      for (size_t k = cursor[q]; k < list.size() && runs[list[k]].first < to; ++k) {
        touching.push_back(list[k]);
      }
    }
    std::fill(start.begin(), start.end(), 0);
    for (uint32_t r : touching) ForEachIn(runs[r], from, to, [&](int64_t c) { ++start[c + 1]; });
    start[0] = static_cast<uint32_t>(order_.size());
    for (int64_t c = 0; c < kWindow; ++c) start[c + 1] += start[c];
    order_.resize(start[kWindow]);
    for (uint32_t r : touching) {
      ForEachIn(runs[r], from, to, [&](int64_t c) { order_[start[c]++] = r; });
    }
  }
  LOCKSTEP_CHECK(static_cast<int64_t>(order_.size()) == schedule_->dispatches,
                 "merged %d dispatches of %d", order_.size(), schedule_->dispatches);
}

}  // namespace lockstep
