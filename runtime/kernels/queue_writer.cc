// Runs into text (runtime/kernels/queue_writer.h).
#include "runtime/kernels/queue_writer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "chip/check.h"
#include "chip/program.h"
#include "chip/queue.h"

namespace lockstep {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kMostAtOnce = 65536;  // dispatches of one REPEAT and what it repeats
constexpr int64_t kLongestNop = 65535;

// Whether `next` is what `run` would dispatch if it were longer; then it becomes so.
bool Extend(Block::Item& run, const Block::Item& next) {
  const int64_t period = run.count > 1 ? run.period : next.first - run.first;
  if (period < 1 || period > std::numeric_limits<int16_t>::max()) return false;
  if (next.count > 1 && next.period != period) return false;
  if (next.first != run.first + run.count * period) return false;
  const Run longer{run.instr, run.queue, 0, run.first, run.count + 1, static_cast<int32_t>(period)};
  if (!(InstructionAt(longer, run.count) == next.instr)) return false;
  run.period = static_cast<int32_t>(period);
  run.count += next.count;
  return true;
}

// What one port of a queue dispatches, from the first cycle to the last.
class Track {
 public:
  void Add(const Block::Item& item) { runs_.push_back(item); }
  void Join() {
    std::stable_sort(runs_.begin(), runs_.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<Block::Item> joined;
    for (const Block::Item& item : runs_) {
      if (joined.empty() || !Extend(joined.back(), item)) joined.push_back(item);
    }
    runs_ = std::move(joined);
  }

  int64_t next() const {
    return run_ == runs_.size() ? kNever : runs_[run_].first + int64_t{done_} * runs_[run_].period;
  }
  // REQUIRES of the others: next() is a cycle.
  int32_t period() const { return runs_[run_].period; }
  int64_t left() const { return runs_[run_].count - done_; }  // of the run
  Instruction instruction() const {
    return InstructionAt(Run{runs_[run_].instr, runs_[run_].queue, 0, 0}, done_);
  }
  void Skip(int64_t count) {
    done_ += static_cast<int32_t>(count);
    if (done_ == runs_[run_].count) ++run_, done_ = 0;
  }

 private:
  std::vector<Block::Item> runs_;
  size_t run_ = 0;
  int32_t done_ = 0;  // of the run
};

class Writer {
 public:
  explicit Writer(int queue) : queue_(queue) {}

  // `count` dispatches of a track, or of two as joined pairs.
  void Dispatch(Track& track, Track* pair, int64_t count) {
    WaitUntil(track.next());
    text_.push_back(track.instruction());
    if (pair != nullptr) {
      text_.push_back(pair->instruction());
      text_.back().joined = true;
    }
    const int32_t period = count > 1 ? track.period() : 1;
    if (count > 1) {
      text_.push_back({Opcode::kRepeat, false, {static_cast<int32_t>(count) - 1, period}});
    }
    now_ += (count - 1) * period + 1;
    track.Skip(count);
    if (pair != nullptr) pair->Skip(count);
  }
  std::vector<Instruction> Take() { return std::move(text_); }

 private:
  void WaitUntil(int64_t cycle) {
    LOCKSTEP_CHECK(cycle >= now_, "%s is busy at %d until %d", QueueName(queue_), cycle, now_);
    for (; now_ < cycle; now_ += text_.back().arg[0]) {
      text_.push_back({Opcode::kNop,
                       false,
                       {static_cast<int32_t>(std::min<int64_t>(cycle - now_, kLongestNop))}});
    }
  }

  const int queue_;
  std::vector<Instruction> text_;
  int64_t now_ = 0;
};

}  // namespace

std::vector<Instruction> WriteQueue(int queue, const std::vector<Block::Item>& items) {
  Track reads, writes;  // of other queues the first has all
  for (const Block::Item& item : items) {
    const bool write = item.instr.op == Opcode::kWrite || item.instr.op == Opcode::kScatter;
    (write ? writes : reads).Add(item);
  }
  reads.Join(), writes.Join();
  Writer writer(queue);
  while (reads.next() != kNever || writes.next() != kNever) {
    const bool pair = reads.next() == writes.next();
    Track& first = reads.next() <= writes.next() ? reads : writes;
    Track& other = &first == &reads ? writes : reads;
    int64_t count = std::min(first.left(), kMostAtOnce);
    if (pair) {
      count = first.period() == other.period() ? std::min(count, other.left()) : 1;
    } else if (other.next() != kNever) {
      const int64_t period = first.period();
      count = std::min(count, (other.next() - first.next() + period - 1) / period);
    }
    writer.Dispatch(first, pair ? &other : nullptr, count);
  }
  return writer.Take();
}

}  // namespace lockstep
