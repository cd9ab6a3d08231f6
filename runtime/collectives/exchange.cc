// Scheduling of exchanges (runtime/collectives/exchange.h).
#include "runtime/collectives/exchange.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/link_serialiser.h"
#include "chip/queue.h"
#include "fabric/link_model.h"
#include "runtime/kernels/weave.h"

namespace lockstep {

using Access = Weave::Access;

Exchange::ValueId Exchange::Input(int role, Quad at) {
  values_.push_back({role, at});
  return static_cast<ValueId>(values_.size()) - 1;
}

Exchange::ValueId Exchange::Move(ValueId value, int port, Quad at) {
  const RoleEnd& end = roles_[values_[value].role][port];
  LOCKSTEP_CHECK(end.role >= 0, "role %d port %d has no cable", values_[value].role, port);
  const ValueId out = Input(end.role, at);
  steps_.push_back({port, out, static_cast<int32_t>(operands_.size()), 1});
  operands_.push_back(value);
  ++moves_;
  return out;
}

Exchange::ValueId Exchange::Sum(absl::Span<const ValueId> values, Quad at) {
  LOCKSTEP_CHECK(!values.empty() && at.side == Hemisphere::kEast, "a sum of %d", values.size());
  for (ValueId v : values) {
    LOCKSTEP_CHECK(role_of(v) == role_of(values[0]), "a sum of values of two chips");
  }
  const ValueId out = Input(role_of(values[0]), at);
  steps_.push_back(
      {-1, out, static_cast<int32_t>(operands_.size()), static_cast<int32_t>(values.size())});
  operands_.insert(operands_.end(), values.begin(), values.end());
  return out;
}

class ExchangeScheduler {
 public:
  ExchangeScheduler(const Exchange& exchange, const ChipTiming& timing)
      : exchange_(exchange),
        timing_(timing),
        d_read_(D(Opcode::kRead)),
        store_(D(Opcode::kReceive) + timing.receive_turnaround),
        period_(D(Opcode::kAdd)),
        chips_(exchange.roles_.size()),
        ready_(exchange.values_.size(), 0),
        missing_(exchange.steps_.size(), 0) {
    LOCKSTEP_CHECK(D(Opcode::kOr) == period_, "or takes not %d", period_);
    for (Chip& chip : chips_) {
      for (In& in : chip.in) in.taken.assign(timing.receive_fifo, 0);
    }
  }

  Exchange::Result Run() {
    FindUsers();
    while (!open_.empty()) {
      const auto [cycle, s] = open_.top();
      open_.pop();
      const Exchange::Step& step = exchange_.steps_[s];
      ready_[step.out] = step.port < 0 ? Add(step) : Carry(step);
      cycles_ = std::max(cycles_, ready_[step.out]);
      for (int32_t i = first_user_[step.out]; i < first_user_[step.out + 1]; ++i) Supply(users_[i]);
    }
    Exchange::Result result;
    result.cycles = cycles_;
    for (Chip& chip : chips_) {
      result.programs.push_back(chip.weave.Finish());
      chip.weave = Weave();
    }
    return result;
  }

 private:
  struct In {
    std::vector<int64_t> taken;  // cycles of the last receives, a ring as deep as the FIFO
    int64_t received = 0;
    int64_t last = -1;
  };
  // Adders: each has streams and ALU queues of its own.
  static constexpr int kAdders = 3;
  struct Chip {
    Weave weave;
    std::array<LinkSerialiser, kLinksPerChip> out;
    std::array<In, kLinksPerChip> in;
    std::array<int64_t, kAdders> adder_free{};
  };

  int64_t D(Opcode op) const { return timing_.d_func[static_cast<int>(op)]; }

  // Streams of links: westward 0..7, eastward 24..31; of adders: eastward 0..23, westward 8..31.
  static int LinkStream(int port) {
    return port < kC2cLinks / 2 ? ops::West(port) : ops::East(24 + port - kC2cLinks / 2);
  }

  void FindUsers() {
    first_user_.assign(exchange_.values_.size() + 1, 0);
    for (const Exchange::ValueId v : exchange_.operands_) ++first_user_[v + 1];
    for (size_t v = 0; v + 1 < first_user_.size(); ++v) first_user_[v + 1] += first_user_[v];
    users_.resize(exchange_.operands_.size());
    std::vector<int32_t> next(first_user_.begin(), first_user_.end() - 1);
    std::vector<char> made(exchange_.values_.size(), 0);
    for (size_t s = 0; s < exchange_.steps_.size(); ++s) {
      const Exchange::Step& step = exchange_.steps_[s];
      made[step.out] = 1;
      for (int i = 0; i < step.inputs; ++i) {
        const Exchange::ValueId v = exchange_.operands_[step.first_in + i];
        users_[next[v]++] = static_cast<int32_t>(s);
        missing_[s] += made[v];  // operands come before what uses them
      }
      if (missing_[s] == 0) Open(static_cast<int32_t>(s), 0);
    }
  }

  void Supply(int32_t s) {
    if (--missing_[s] > 0) return;
    const Exchange::Step& step = exchange_.steps_[s];
    int64_t ready = 0;
    for (int i = 0; i < step.inputs; ++i) {
      ready = std::max(ready, ready_[exchange_.operands_[step.first_in + i]]);
    }
    Open(s, ready);
  }

  // Copies that nothing waits for come last: they take what cycles the links leave.
  void Open(int32_t s, int64_t ready) {
    const Exchange::Step& step = exchange_.steps_[s];
    const bool idle = step.port < 0 && step.inputs == 1 &&
                      first_user_[step.out] == first_user_[step.out + 1];
    open_.push({idle ? std::numeric_limits<int64_t>::max() : ready, s});
  }

  // A word over a link, plane by plane; returns from when on it can be read at the far end.
  int64_t Carry(const Exchange::Step& step) {
    const Exchange::ValueId v = exchange_.operands_[step.first_in];
    const Exchange::Value &from = exchange_.values_[v], &to = exchange_.values_[step.out];
    const RoleEnd& end = exchange_.roles_[from.role][step.port];
    int64_t stands = 0;
    for (int k = 0; k < 4; ++k) {
      const int64_t arrival = Send(from, step.port, k, ready_[v]);
      stands = std::max(stands, Receive(end, to.at, k, arrival));
    }
    return stands;
  }

  // Returns the cycle of arrival.
  int64_t Send(const Exchange::Value& from, int port, int k, int64_t ready) {
    Chip& chip = chips_[from.role];
    const RoleEnd& end = exchange_.roles_[from.role][port];
    const In& in = chips_[end.role].in[end.port];
    const int64_t taken = in.taken[in.received % static_cast<int64_t>(in.taken.size())];
    const int slice = ColumnSlice(from.at.side, from.at.column, k);
    const int64_t lead = d_read_ + Hops(SlicePosition(slice), C2cPosition(port));
    LinkSerialiser& link = chip.out[port];
    const auto arrives = [&](int64_t cycle) {
      return LinkModel::ArrivalAfter(cycle * kTicksPerCycle + link.Wait(cycle), timing_.link_ticks,
                                     end.flight_cycles);
    };
    int64_t cycle = std::max(ready + lead, link.NextCycle());
    while (!link.Takes(cycle) || !chip.weave.LinkFree(port, cycle) || arrives(cycle) < taken ||
           !chip.weave.Free(slice, Access::kRead, from.at.address, cycle - lead)) {
      ++cycle;
    }
    const int64_t arrival = arrives(cycle);
    link.Send(cycle, timing_.link_ticks);
    chip.weave.Take(slice, Access::kRead, from.at.address, cycle - lead);
    chip.weave.TakeLink(port, cycle);
    chip.weave.At(MemQueue(slice), ops::Read(from.at.address, 0, LinkStream(port)), cycle - lead);
    chip.weave.At(C2cQueue(port), ops::Send(LinkStream(port)), cycle);
    return arrival;
  }

  int64_t Receive(const RoleEnd& end, Quad at, int k, int64_t arrival) {
    Chip& chip = chips_[end.role];
    In& in = chip.in[end.port];
    const int slice = ColumnSlice(at.side, at.column, k);
    int64_t cycle = std::max(arrival, in.last + 1);
    while (!chip.weave.LinkFree(end.port, cycle) ||
           !chip.weave.Free(slice, Access::kReceived, at.address, cycle + store_)) {
      ++cycle;
    }
    in.taken[in.received++ % static_cast<int64_t>(in.taken.size())] = cycle;
    in.last = cycle;
    chip.weave.TakeLink(end.port, cycle);
    chip.weave.Take(slice, Access::kReceived, at.address, cycle + store_);
    chip.weave.At(C2cQueue(end.port), ops::Receive(slice, at.address, 0), cycle);
    return cycle + store_ + 1;
  }

  struct Use {
    int slice;
    Access access;
    int address;
    int64_t cycle;
    int stream;
  };
  void UseQuad(Quad q, Access access, int64_t at_vxm, int stream) {
    for (int k = 0; k < 4; ++k) {
      const int slice = ColumnSlice(q.side, q.column, k), hops = Hops(SlicePosition(slice), kVxm);
      const int64_t cycle = access == Access::kRead ? at_vxm - hops - d_read_ : at_vxm + hops;
      uses_.push_back({slice, access, q.address, cycle, stream + k});
    }
  }

  // Operand m is at the VXM in cycle at + m * period; returns from when on the sum can be read.
  int64_t Add(const Exchange::Step& step) {
    const Exchange::Value& out = exchange_.values_[step.out];
    Chip& chip = chips_[out.role];
    const auto free = std::min_element(chip.adder_free.begin(), chip.adder_free.end());
    const int adder = static_cast<int>(free - chip.adder_free.begin()), n = step.inputs;
    const int east = ops::East(8 * adder), west = ops::West(8 + 8 * adder), sum = east + 4;
    const auto operand = [&](int m) { return exchange_.operands_[step.first_in + m]; };
    int64_t at = *free;
    for (int m = 0; m < n; ++m) {
      const Quad q = exchange_.values_[operand(m)].at;
      const int hops = Hops(SlicePosition(ColumnSlice(q.side, q.column, 0)), kVxm);
      at = std::max(at, ready_[operand(m)] + hops + d_read_ - m * period_);
    }
    const auto in = [&](int m) {
      return exchange_.values_[operand(m)].at.side == Hemisphere::kWest ? east : west;
    };
    for (;; ++at) {
      uses_.clear();
      for (int m = 0; m < n; ++m) {
        UseQuad(exchange_.values_[operand(m)].at, Access::kRead, at + m * period_, in(m));
      }
      UseQuad(out.at, Access::kWrite, at + n * period_, sum);
      if (AllFree(chip.weave)) break;
    }
    TakeAll(chip.weave);
    chip.weave.At(VxmQueue(2 * adder), ops::BinaryImm(Opcode::kOr, kTypeF32, in(0), 0, sum), at);
    for (int m = 1; m < n; ++m) {
      chip.weave.At(VxmQueue(2 * adder + 1), ops::Binary(Opcode::kAdd, kTypeF32, in(m), sum, sum),
                    at + m * period_);
    }
    *free = at + n * period_;
    return uses_.back().cycle + 1;
  }
  // Two uses of one slice never meet: its operands are read whole periods apart, before the write.
  bool AllFree(const Weave& weave) const {
    return std::all_of(uses_.begin(), uses_.end(), [&](const Use& u) {
      return weave.Free(u.slice, u.access, u.address, u.cycle);
    });
  }
  void TakeAll(Weave& weave) const {
    for (const Use& u : uses_) {
      weave.Take(u.slice, u.access, u.address, u.cycle);
      weave.At(MemQueue(u.slice),
               u.access == Access::kRead ? ops::Read(u.address, 0, u.stream)
                                         : ops::Write(u.address, 0, u.stream),
               u.cycle);
    }
  }

  using OpenStep = std::pair<int64_t, int32_t>;  // cycle of its operands, or later; step

  const Exchange& exchange_;
  const ChipTiming& timing_;
  const int64_t d_read_, store_, period_;
  std::vector<Chip> chips_;       // by role
  std::vector<int64_t> ready_;    // by value: first cycle in which it can be read
  std::vector<int32_t> missing_;  // by step: operands that do not stand yet
  std::vector<int32_t> first_user_, users_;
  std::priority_queue<OpenStep, std::vector<OpenStep>, std::greater<>> open_;
  std::vector<Use> uses_;
  int64_t cycles_ = 0;
};

Exchange::Result Exchange::Schedule(const ChipTiming& timing) const {
  return ExchangeScheduler(*this, timing).Run();
}

}  // namespace lockstep
