// Expansion of instruction queues into runs (chip/program.h).
//
// Each queue is walked with its own cursor. A queue that meets SYNC parks; when every queue has
// ended or parked, the earliest NOTIFY not yet used releases those parked in time.
#include "chip/program.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
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
  QueueWalker(const Program& program, int queue, const DispatchContext& context)
      : text_(program.queues[queue]), fetched_(program.fetched), queue_(queue),
        context_(context) {}

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
    if (fetched_ && static_cast<int64_t>(next_) * kInstructionBytes > fetched_bytes_) {
      return Fail(FaultKind::kQueueEmpty, cycle_, absl::StrCat(fetched_bytes_, " B fetched so far"));
    }
    switch (in.op) {
      case Opcode::kNop: cycle_ += in.arg[0]; last_run_ = -1; return;
      case Opcode::kRepeat: return Repeat(in, out);
      case Opcode::kSync: parked_ = true; last_run_ = -1; ++cycle_; return;
      case Opcode::kNotify: notifies.insert(cycle_); break;
      case Opcode::kDeskew: return Deskew();
      case Opcode::kRuntimeDeskew: return RuntimeDeskew(in);
      case Opcode::kIfetch: fetched_bytes_ += kFetchBytes; break;
      default: break;
    }
    Emit(in, out);
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
      if (first.count != 1 || ReadsMem(first.instr.op) == ReadsMem(in.op)) {
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
  }

  void Repeat(const Instruction& in, Schedule& out) {
    if (last_run_ < 0 || out.runs[last_run_].count != 1) {
      return Fail(FaultKind::kBadInstruction, cycle_, "repeat of nothing that can repeat");
    }
    for (int64_t r = last_run_ - (pair_ - 1); r <= last_run_; ++r) {
      Run& run = out.runs[r];
      run.count = in.arg[0] + 1;
      run.period = in.arg[1];
      CheckRange(run);
    }
    cycle_ = out.runs[last_run_].last() + 1;
    last_run_ = -1;
  }

  void CheckRange(const Run& run) {
    if (std::string bad = Validate(InstructionAt(run, run.count - 1)); !bad.empty()) {
      Fail(FaultKind::kBadInstruction, run.last(), absl::StrCat("repeated: ", bad));
    }
  }

  const std::vector<Instruction>& text_;
  const bool fetched_;
  const int queue_;
  const DispatchContext& context_;
  size_t next_ = 0;
  int64_t cycle_ = 0;
  int64_t fetched_bytes_ = kQueueBytes;
  int64_t last_run_ = -1;  // the run a REPEAT or a joined instruction refers to
  int pair_ = 0;           // instructions of the current (perhaps joined) dispatch
  bool parked_ = false;
  std::optional<Fault> fault_;
};

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
  std::multiset<int64_t> notifies;
  std::vector<QueueWalker> walkers;
  walkers.reserve(kQueues);
  for (int q = 0; q < kQueues; ++q) {
    walkers.emplace_back(program, q, context);
    out.text_bytes += static_cast<int64_t>(program.queues[q].size()) * kInstructionBytes;
  }
  for (bool again = true; again;) {
    again = false;
    for (QueueWalker& w : walkers) w.Walk(out, notifies);
    if (notifies.empty()) break;
    const int64_t notify = *notifies.begin();
    notifies.erase(notifies.begin());
    for (QueueWalker& w : walkers) {
      // Parked by the cycle in which the release arrives (SYNC dispatched in the cycle before).
      if (w.parked() && w.cycle() <= notify + timing.barrier) {
        w.Release(notify + timing.barrier);
      }
    }
    again = true;
  }
  for (QueueWalker& w : walkers) {
    if (w.parked()) w.Fail(FaultKind::kNeverReleased, w.cycle() - 1, "no notify reaches it");
    if (w.fault() && (!result.fault || w.fault()->Before(*result.fault))) result.fault = w.fault();
    out.end = std::max(out.end, w.cycle());
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
  return result;
}

}  // namespace lockstep
