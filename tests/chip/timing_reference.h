#pragma once
// The rules of docs/machine.md written down a second time, as slowly and plainly as possible:
// every run is expanded and walked dispatch by dispatch. The timing engine is tested against it.

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "chip/engine.h"
#include "chip/latency.h"
#include "chip/program.h"

namespace lockstep {

// The outside of one chip, as a script: which links are cabled and when vectors arrive.
class ScriptedPort : public LinkPort {
 public:
  std::array<bool, kC2cLinks> cabled{};
  std::array<std::vector<int64_t>, kC2cLinks> arrivals;
  // kPending is said once before each of so many answers.
  std::array<int64_t, kC2cLinks> stutters{};

  bool IsCabled(int link) const override { return cabled[link]; }
  void Send(int link, int64_t start_ticks, const Vector*) override {
    sent.emplace_back(link, start_ticks);
  }
  void Transmit(int link, int64_t start_ticks) override { sent.emplace_back(link, start_ticks); }
  Poll Peek(int link, Arrival* out) override {
    if (stutters[link] > 0 && !asked_[link]) {
      asked_[link] = true;
      --stutters[link];
      return Poll::kPending;
    }
    asked_[link] = false;
    if (popped[link] >= arrivals[link].size()) return Poll::kNever;
    out->cycle = arrivals[link][popped[link]];
    out->payload = &zero_;
    return Poll::kReady;
  }
  void Pop(int link) override { ++popped[link]; }

  std::array<size_t, kC2cLinks> popped{};
  std::vector<std::pair<int, int64_t>> sent;

 private:
  Vector zero_;
  std::array<bool, kC2cLinks> asked_{};
};

class Reference {
 public:
  // What stays between executions.
  struct State {
    int installed[kPlanes] = {};  // 0 nothing, 1 i8, 2 f16
    bool rows[kPlanes][320] = {};
    bool f16_rows[2][160] = {};
    int entries[kPlanes][64] = {};  // type by vector
  };

  Reference(const Schedule& schedule, const ChipTiming& timing, const ScriptedPort& port,
            State& state)
      : schedule_(schedule), timing_(timing), port_(port), state_(state) {}

  std::vector<int64_t> ages;
  std::optional<Fault> fault;
  std::vector<std::pair<int, int64_t>> sent;
  size_t received(int link) const { return received_[link].size(); }

  void Execute() {
    ages.assign(schedule_.runs.size(), 0);
    std::vector<Event> events;
    for (size_t r = 0; r < schedule_.runs.size(); ++r) {
      const Run& run = schedule_.runs[r];
      for (int64_t i = 0; i < run.count; ++i) {
        const int64_t t = run.cycle(i);
        events.push_back({t, run.queue, 2, run.index, r, i});
        if (run.instr.op == Opcode::kReceive) {
          events.push_back({t + D(run) + timing_.receive_turnaround, run.queue, 0, run.index, r, i});
        }
        if (run.instr.op == Opcode::kIfetch) events.push_back({t + 1, run.queue, 1, run.index, r, i});
      }
    }
    std::sort(events.begin(), events.end());
    for (const Event& e : events) {
      if (!Act(e)) return;
    }
    for (int link = 0; link < kC2cLinks; ++link) {
      if (!port_.cabled[link] || received_[link].size() == port_.arrivals[link].size()) continue;
      fault = Fault{FaultKind::kReceiveMissing, 0, C2cQueue(link), schedule_.end, {}, ""};
      return;
    }
  }

 private:
  using Event = std::tuple<int64_t, int32_t, int, int32_t, size_t, int64_t>;
  using Kind = FaultKind;

  int64_t D(const Run& run) const { return timing_.d_func[static_cast<int>(run.instr.op)]; }

  bool Act(const Event& e) {
    const auto& [t, queue, phase, index, r, i] = e;
    t_ = t, run_ = r, queue_ = queue, in_ = InstructionAt(schedule_.runs[r], i), broken_.clear();
    reported_ = t;
    if (t != accesses_cycle_) accesses_.clear(), accesses_cycle_ = t;
    const QueueInfo q = Queue(queue);
    if (phase == 0) {
      Access(in_.arg[0], true, 1 << (in_.arg[1] / kWordsPerBank));
    } else if (phase == 1) {
      ReadStreams(q.position);
    } else {
      Dispatch(q);
    }
    static constexpr Kind kOrder[] = {
        Kind::kBadInstruction, Kind::kLinkAbsent,   Kind::kLinkSlot,     Kind::kReceiveEmpty,
        Kind::kFifoOverflow,   Kind::kPortConflict, Kind::kBankConflict, Kind::kStreamEmpty,
        Kind::kBufferEmpty,    Kind::kBufferFull,   Kind::kPlaneBusy,    Kind::kPlaneEmpty,
        Kind::kNoResult,       Kind::kTypeMismatch, Kind::kStreamConflict};
    for (Kind kind : kOrder) {
      if (broken_.count(kind) == 0) continue;
      fault = Fault{kind, 0, queue, kind == Kind::kFifoOverflow ? reported_ : t, in_, ""};
      return false;
    }
    return true;
  }

  void Dispatch(const QueueInfo& q) {
    ReadStreams(q.position);
    const Opcode op = in_.op;
    if (op == Opcode::kRead || op == Opcode::kWrite) {
      Access(q.instance, op == Opcode::kWrite, 1 << (in_.arg[0] / kWordsPerBank));
    }
    if (op == Opcode::kGather || op == Opcode::kScatter) Access(q.instance, op == Opcode::kScatter, 3);
    const std::optional<Unit> unit = Info(op).unit;
    if (unit == Unit::kVxm) Vxm();
    if (unit == Unit::kSxm && op != Opcode::kRotate && op != Opcode::kTranspose && in_.arg[0] == 3) {
      broken_.insert(Kind::kBadInstruction);
    }
    if (unit == Unit::kMxm) Mxm(q.instance);
    if (unit == Unit::kC2c) Link(q.instance);
    WriteStreams(q.position);
  }

  void ReadStreams(int position) {
    for (int k = 0; k < Info(in_.op).operand_count; ++k) {
      const OperandKind kind = Info(in_.op).operands[k].kind;
      if (kind != OperandKind::kStreamIn && kind != OperandKind::kStreamInOrImmediate) continue;
      for (int s = 0; s < StreamCount(in_, k); ++s) ReadStream(in_.arg[k] + s, position);
    }
  }

  void ReadStream(int stream, int position) {
    const int up = StreamDirection(stream) == Direction::kEast ? -1 : 1;
    for (int d = 0; d < kPositions; ++d) {
      if (written_.count({stream, position + up * d, t_ - d}) == 0) continue;
      ages[run_] += d;
      return;
    }
    broken_.insert(Kind::kStreamEmpty);
  }

  void WriteStreams(int position) {
    for (int k = 0; k < Info(in_.op).operand_count; ++k) {
      const OperandKind kind = Info(in_.op).operands[k].kind;
      if (kind != OperandKind::kStreamOut && kind != OperandKind::kStreamOutOrNone) continue;
      int count = StreamCount(in_, k);
      if (in_.op == Opcode::kRotate) count = in_.arg[0] * in_.arg[0];
      for (int s = 0; s < count; ++s) {
        const int64_t at = t_ + D(schedule_.runs[run_]);
        if (!written_.insert({in_.arg[k] + s, position, at}).second) {
          broken_.insert(Kind::kStreamConflict);
        }
      }
    }
  }

  void Access(int slice, bool write, int banks) {
    for (const auto& [s, w, b] : accesses_) {
      if (s != slice) continue;
      if (w == write) broken_.insert(Kind::kPortConflict);
      if (b & banks) broken_.insert(Kind::kBankConflict);
    }
    accesses_.emplace_back(slice, write, banks);
  }

  void Vxm() {
    const bool is_float = in_.arg[0] == kTypeF16 || in_.arg[0] == kTypeF32;
    const Opcode op = in_.op;
    const bool odd = op == Opcode::kExp || op == Opcode::kTanh || op == Opcode::kRsqrt;
    if (odd && !is_float) broken_.insert(Kind::kBadInstruction);
    if (op >= Opcode::kAdd && op <= Opcode::kXor && in_.arg[1] == 1 && is_float) {
      broken_.insert(Kind::kBadInstruction);
    }
  }

  void Mxm(int p) {
    const bool f16 = in_.arg[0] == kTypeF16;
    if (f16 && p % 2 == 1 && in_.op != Opcode::kLw) broken_.insert(Kind::kBadInstruction);
    switch (in_.op) {
      case Opcode::kLw: return Lw(p, f16);
      case Opcode::kIw: return Iw(p, f16);
      case Opcode::kAbcLoad: {
        if (f16 && in_.arg[1] > 31) return void(broken_.insert(Kind::kBadInstruction));
        if (!f16) return void(state_.entries[p][in_.arg[1]] = 1);
        state_.entries[p][2 * in_.arg[1]] = state_.entries[p][2 * in_.arg[1] + 1] = 2;
        return;
      }
      case Opcode::kAcc: {
        ages[run_] += timing_.mxm_array;
        const auto result = results_.find({p, t_});
        if (result == results_.end()) return void(broken_.insert(Kind::kNoResult));
        if (result->second != f16) broken_.insert(Kind::kTypeMismatch);
        return;
      }
      default: return Feed(p, f16);
    }
  }

  bool Holds(int p, bool f16) const {
    const auto any = [](const bool* b, int n) { return std::find(b, b + n, true) != b + n; };
    return f16 ? any(state_.f16_rows[p / 2], 160) : any(state_.rows[p], 320);
  }

  void Lw(int p, bool f16) {
    if (f16 ? Holds(p & ~1, false) || Holds(p | 1, false) : Holds(p, true)) {
      broken_.insert(Kind::kTypeMismatch);
    }
    const int rows = f16 ? in_.arg[3] / 2 : in_.arg[3], limit = f16 ? 160 : 320;
    for (int row = in_.arg[1]; row < in_.arg[1] + rows; ++row) {
      if (row >= limit) return void(broken_.insert(Kind::kBadInstruction));
      bool& loaded = f16 ? state_.f16_rows[p / 2][row] : state_.rows[p][row];
      if (loaded) broken_.insert(Kind::kBufferFull);
      loaded = true;
    }
  }

  void Iw(int p, bool f16) {
    if (f16 ? Holds(p & ~1, false) || Holds(p | 1, false) : Holds(p, true)) {
      broken_.insert(Kind::kTypeMismatch);
    }
    for (int plane : {p, p ^ 1}) {
      if (plane != p && !f16) {
        if (state_.installed[plane] == 2) state_.installed[plane] = 0;
        continue;
      }
      if (fed_[plane] == t_) broken_.insert(Kind::kPlaneBusy);
      busy_until_[plane] = t_ + timing_.d_func[static_cast<int>(Opcode::kIw)];
      state_.installed[plane] = f16 ? 2 : 1;
    }
    bool* rows = f16 ? state_.f16_rows[p / 2] : state_.rows[p];
    std::fill(rows, rows + (f16 ? 160 : 320), false);
  }

  void Feed(int p, bool f16) {
    if (in_.op == Opcode::kAbcFeed) {
      const int e = in_.arg[1];
      if (e > 63) return void(broken_.insert(Kind::kBadInstruction));
      const bool there = f16 ? state_.entries[p][e] == 2 && state_.entries[p][e ^ 1] == 2
                             : state_.entries[p][e] == 1;
      if (!there) broken_.insert(Kind::kBufferEmpty);
    }
    for (int plane : {p, p ^ 1}) {
      if (plane != p && !f16) continue;
      if (t_ < busy_until_[plane]) broken_.insert(Kind::kPlaneBusy);
      fed_[plane] = t_;
    }
    if (state_.installed[p] == 0) broken_.insert(Kind::kPlaneEmpty);
    if (state_.installed[p] != (f16 ? 2 : 1)) broken_.insert(Kind::kTypeMismatch);
    results_[{p, t_ + timing_.mxm_array}] = f16;
  }

  void Link(int link) {
    if (!port_.cabled[link]) broken_.insert(Kind::kLinkAbsent);
    if (in_.op != Opcode::kReceive) {
      const int64_t now = t_ * kTicksPerCycle;
      if (now + kTicksPerCycle <= free_[link]) broken_.insert(Kind::kLinkSlot);
      const int64_t start = std::max(now, free_[link]);
      free_[link] = start + timing_.link_ticks;
      if (broken_.empty()) sent.emplace_back(link, start);
      return;
    }
    std::vector<int64_t>& received = received_[link];
    const std::vector<int64_t>& arrivals = port_.arrivals[link];
    if (received.size() >= arrivals.size() || arrivals[received.size()] > t_) {
      return void(broken_.insert(Kind::kReceiveEmpty));
    }
    reported_ = arrivals[received.size()];
    ages[run_] += t_ - reported_;
    const int64_t waiting = std::count_if(received.begin(), received.end(),
                                          [&](int64_t at) { return at > reported_; });
    if (waiting >= timing_.receive_fifo) broken_.insert(Kind::kFifoOverflow);
    received.push_back(t_);
  }

  const Schedule& schedule_;
  const ChipTiming& timing_;
  const ScriptedPort& port_;
  State& state_;
  // The event being walked.
  int64_t t_ = 0, reported_ = 0;
  size_t run_ = 0;
  int queue_ = 0;
  Instruction in_;
  std::set<Kind> broken_;
  // The machine.
  std::set<std::tuple<int, int, int64_t>> written_;  // stream, position, cycle
  int64_t accesses_cycle_ = -1;
  std::vector<std::tuple<int, bool, int>> accesses_;  // slice, write, banks
  std::map<std::pair<int, int64_t>, bool> results_;   // plane, cycle -> f16
  int64_t busy_until_[kPlanes] = {};
  int64_t fed_[kPlanes] = {-1, -1, -1, -1};
  int64_t free_[kC2cLinks] = {};
  std::array<std::vector<int64_t>, kC2cLinks> received_;
};

}  // namespace lockstep
