// Expansion of instruction queues into runs (chip/program.h).
//
// Each queue is walked with its own cursor. A queue that meets SYNC parks; when every queue has
// ended or parked, the earliest NOTIFY not yet used releases those parked in time.
#include "chip/program.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/binary.h"
#include "chip/check.h"

namespace lockstep {
namespace {

int StrideOf(Opcode op, int operand) {
  const OpInfo& info = Info(op);
  const bool has = operand + 1 < info.operand_count && info.operands[operand + 1].name == "stride";
  return has ? operand + 1 : -1;
}

bool ReadsMem(Opcode op) { return op == Opcode::kRead || op == Opcode::kGather; }

class QueueWalker {
 public:
  QueueWalker(const Program& program, int queue, const ChipTiming& timing,
              const DispatchContext& context)
      : text_(program.queues[queue]), fetched_(program.fetched), queue_(queue),
        context_(context),
        fetch_latency_(timing.d_func[static_cast<int>(Opcode::kIfetch)]) {}

  // Walks until the end, a SYNC or a fault.
  void Walk(Schedule& out, std::multiset<int64_t>& notifies) {
    while (!fault_ && !parked_ && next_ < text_.size()) Step(out, notifies);
  }
  bool parked() const { return parked_; }
  int64_t cycle() const { return cycle_; }
  const std::optional<Fault>& fault() const { return fault_; }
  void Release(int64_t cycle) { parked_ = false, cycle_ = cycle; }
  void Fail(FaultKind kind, int64_t cycle, std::string detail) {
    const size_t at = next_ == 0 ? 0 : next_ - 1;
    fault_ = Fault{kind, context_.chip, queue_, cycle, text_[at], std::move(detail)};
  }

 private:
  void Step(Schedule& out, std::multiset<int64_t>& notifies) {
    const Instruction& in = text_[next_++];
    if (std::string bad = Validate(in); !bad.empty()) {
      return Fail(FaultKind::kBadInstruction, cycle_, bad);
    }
    if (!QueueTakes(queue_, in.op)) {
      return Fail(FaultKind::kBadInstruction, cycle_,
                  absl::StrCat(QueueName(queue_), " does not issue ", Info(in.op).name));
    }
    if (in.op != Opcode::kRepeat && in.op != Opcode::kNop) pair_ = in.joined ? pair_ : 0;
    const int64_t have = FetchedBy(cycle_);
    if (static_cast<int64_t>(next_) * kInstructionBytes > have) {
      return Fail(FaultKind::kQueueEmpty, cycle_, absl::StrCat(have, " B fetched so far"));
    }
    switch (in.op) {
      case Opcode::kNop: cycle_ += in.arg[0]; last_run_ = -1; return;
      case Opcode::kRepeat: return Repeat(in, out);
      case Opcode::kSync: parked_ = true; last_run_ = -1; ++cycle_; return;
      case Opcode::kNotify: notifies.insert(cycle_); break;
      case Opcode::kDeskew: return Deskew();
      case Opcode::kRuntimeDeskew: return RuntimeDeskew(in);
      default: break;
    }
    Emit(in, out);
  }

  // Bytes of text in the queue by `cycle`: a fetch is there d_func after its dispatch.
  int64_t FetchedBy(int64_t cycle) {
    if (!fetched_) return std::numeric_limits<int64_t>::max();
    while (!fetches_.empty()) {
      Run& run = fetches_.front();
      const int64_t there = cycle - fetch_latency_;
      if (there < run.first) break;
      const int64_t done = std::min<int64_t>(run.count, (there - run.first) / run.period + 1);
      fetched_bytes_ += done * kFetchBytes;
      run.first += done * run.period;
      run.count -= static_cast<int32_t>(done);
      if (run.count > 0) break;
      fetches_.pop_front();
    }
    return fetched_bytes_;
  }

  void Deskew() {
    const int64_t hac = (context_.hac_at_start + cycle_) % kHacPeriod;
    cycle_ += kHacPeriod - hac;
    last_run_ = -1;
  }

  void RuntimeDeskew(const Instruction& in) {
    cycle_ += std::max<int64_t>(1, in.arg[0] + context_.drift_cycles);
    last_run_ = -1;
  }

  void Emit(const Instruction& in, Schedule& out) {
    if (in.joined) {
      if (last_run_ < 0 || pair_ != 1) {
        return Fail(FaultKind::kBadInstruction, cycle_, "joined to nothing it can join");
      }
      const Run& first = out.runs[last_run_];
      if (Info(first.instr.op).unit != Unit::kMem || ReadsMem(first.instr.op) == ReadsMem(in.op)) {
        return Fail(FaultKind::kBadInstruction, cycle_, "a joined pair is one read and one write");
      }
      out.runs.push_back({in, queue_, static_cast<int32_t>(next_ - 1), first.first});
      pair_ = 2;
    } else {
      out.runs.push_back({in, queue_, static_cast<int32_t>(next_ - 1), cycle_});
      ++cycle_;
      pair_ = 1;
    }
    last_run_ = static_cast<int64_t>(out.runs.size()) - 1;
    if (fetched_ && in.op == Opcode::kIfetch) fetches_.push_back(out.runs.back());
  }

  void Repeat(const Instruction& in, Schedule& out) {
    if (last_run_ < 0 || out.runs[last_run_].instr.op == Opcode::kNotify) {
      return Fail(FaultKind::kBadInstruction, cycle_, "repeat of nothing that can repeat");
    }
    for (int64_t r = last_run_ - (pair_ - 1); r <= last_run_; ++r) {
      Run& run = out.runs[r];
      run.count = in.arg[0] + 1;
      run.period = in.arg[1];
      CheckRange(run);
    }
    const Run& run = out.runs[last_run_];
    if (fetched_ && run.instr.op == Opcode::kIfetch) {
      // The first dispatch may have been counted already.
      fetches_.push_back(run);
      fetches_.back().first += run.period;
      --fetches_.back().count;
    }
    cycle_ = run.last() + 1;
    last_run_ = -1;
  }

  // Strides are linear and ranges convex: a run is valid if its ends are, and if it is not, what
  // stands before the first bad dispatch is valid.
  void CheckRange(const Run& run) {
    if (Validate(InstructionAt(run, run.count - 1)).empty()) return;
    int64_t good = 0, bad = run.count - 1;
    while (bad - good > 1) {
      const int64_t middle = good + (bad - good) / 2;
      (Validate(InstructionAt(run, middle)).empty() ? good : bad) = middle;
    }
    if (fault_ && fault_->cycle <= run.cycle(bad)) return;
    const Instruction at = InstructionAt(run, bad);
    fault_ = Fault{FaultKind::kBadInstruction, context_.chip, queue_, run.cycle(bad), at,
                   absl::StrCat("repeated: ", Validate(at))};
  }

  const std::vector<Instruction>& text_;
  const bool fetched_;
  const int queue_;
  const DispatchContext& context_;
  const int64_t fetch_latency_;  // cycles from an ifetch to its text
  size_t next_ = 0;
  int64_t cycle_ = 0;
  int64_t fetched_bytes_ = kQueueBytes;
  std::deque<Run> fetches_;  // not counted in fetched_bytes_ yet
  int64_t last_run_ = -1;  // the run a REPEAT or a joined instruction refers to
  int pair_ = 0;           // instructions of the current (perhaps joined) dispatch
  bool parked_ = false;
  std::optional<Fault> fault_;
};

void WalkAll(std::vector<QueueWalker>& walkers, const ChipTiming& timing, Schedule& out) {
  std::multiset<int64_t> notifies;
  for (;;) {
    bool parked = false;
    for (QueueWalker& w : walkers) {
      w.Walk(out, notifies);
      parked = parked || w.parked();
    }
    if (!parked || notifies.empty()) return;
    const int64_t release = *notifies.begin() + timing.barrier;
    notifies.erase(notifies.begin());
    for (QueueWalker& w : walkers) {
      // Parked by the cycle in which the release arrives (SYNC dispatched in a cycle before).
      if (w.parked() && w.cycle() <= release) w.Release(release);
    }
  }
}

// Only of queues that fetch: nobody compares the others' text.
std::vector<QueueText> FetchingQueues(const Program& program) {
  std::vector<QueueText> texts;
  if (!program.fetched) return texts;
  for (int q = 0; q < kQueues; ++q) {
    const std::vector<Instruction>& text = program.queues[q];
    const auto fetches = [](const Instruction& in) { return in.op == Opcode::kIfetch; };
    if (std::none_of(text.begin(), text.end(), fetches)) continue;
    QueueText& out = texts.emplace_back(QueueText{q, ""});
    for (const Instruction& in : text) {
      const InstructionCode code = EncodeInstruction(in);
      out.bytes.append(code.begin(), code.end());
    }
  }
  return texts;
}

}  // namespace

int32_t OperandAt(const Run& run, int operand, int64_t i) {
  const int stride = StrideOf(run.instr.op, operand);
  const int64_t step = stride < 0 ? 0 : run.instr.arg[stride];
  return static_cast<int32_t>(run.instr.arg[operand] + i * step);
}

Instruction InstructionAt(const Run& run, int64_t i) {
  Instruction at = run.instr;
  for (int k = 0; k < Info(at.op).operand_count; ++k) at.arg[k] = OperandAt(run, k, i);
  return at;
}

DispatchResult Dispatch(const Program& program, const ChipTiming& timing,
                        const DispatchContext& context) {
  DispatchResult result;
  Schedule& out = result.schedule;
  std::vector<QueueWalker> walkers;
  walkers.reserve(kQueues);
  for (int q = 0; q < kQueues; ++q) {
    walkers.emplace_back(program, q, timing, context);
    out.text_bytes += static_cast<int64_t>(program.queues[q].size()) * kInstructionBytes;
  }
  WalkAll(walkers, timing, out);
  for (QueueWalker& w : walkers) {
    if (w.fault() && (!result.fault || w.fault()->Before(*result.fault))) result.fault = w.fault();
    out.end = std::max(out.end, w.cycle());
  }
  // A queue that faults notifies no more, so a parked one is to blame only where none faults.
  for (QueueWalker& w : walkers) {
    if (!w.parked() || (result.fault && result.fault->kind != FaultKind::kNeverReleased)) continue;
    w.Fail(FaultKind::kNeverReleased, w.cycle() - 1, "no notify reaches it");
    if (!result.fault || w.fault()->Before(*result.fault)) result.fault = w.fault();
  }
  if (result.fault) {
    out = {};
    return result;
  }
  std::stable_sort(out.runs.begin(), out.runs.end(), [](const Run& a, const Run& b) {
    if (a.first != b.first) return a.first < b.first;
    if (a.queue != b.queue) return a.queue < b.queue;
    return a.index < b.index;
  });
  for (const Run& run : out.runs) out.dispatches += run.count;
  out.texts = FetchingQueues(program);
  return result;
}

}  // namespace lockstep
