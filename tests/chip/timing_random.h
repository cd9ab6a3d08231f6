#pragma once
// Schedules built directly, by hand or at random, for tests of the engines.
//
// RandomSchedule proposes runs that use a few streams, slices and cycles so that they meet often,
// asks the reference (timing_reference.h) after each and keeps those that stay legal; then, in two
// of three programs, one that breaks a rule.

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/chip/timing_reference.h"

namespace lockstep {

struct Draft {
  int queue;
  int64_t first;
  Instruction instr;
  int32_t count = 1;
  int32_t period = 1;

  int64_t last() const { return first + int64_t{count - 1} * period; }
};

// Sorts drafts into a schedule. REQUIRES: those of one queue follow one another, or are a pair of
// MEM instructions with the same cycles, the second joined.
inline std::shared_ptr<Schedule> MakeSchedule(std::vector<Draft> drafts) {
  std::stable_sort(drafts.begin(), drafts.end(), [](const Draft& a, const Draft& b) {
    return a.first != b.first ? a.first < b.first : a.queue < b.queue;
  });
  auto schedule = std::make_shared<Schedule>();
  std::array<int32_t, kQueues> index{};
  for (const Draft& d : drafts) {
    schedule->runs.push_back({d.instr, d.queue, index[d.queue]++, d.first, d.count, d.period});
    schedule->end = std::max(schedule->end, d.last() + 1);
    schedule->dispatches += d.count;
  }
  return schedule;
}

inline Instruction Make(Opcode op, std::vector<int32_t> args) {
  Instruction in;
  in.op = op;
  std::copy(args.begin(), args.end(), in.arg.begin());
  return in;
}

class RandomSchedule {
 public:
  // `values`: also instructions whose legality depends on values (permute, gather, scatter, ifetch).
  RandomSchedule(uint32_t seed, bool values, const ChipTiming& timing)
      : rng_(seed), values_(values), timing_(timing), style_(Below(4)) {
    for (int link : {0, 1, 8}) port_.cabled[link] = true;
    for (int link : {0, 1, 8}) {
      int64_t t = Below(40);
      for (int n = Below(4); n > 0; --n, t += Below(60)) port_.arrivals[link].push_back(t);
    }
  }

  std::shared_ptr<Schedule> Generate(int tries) {
    for (int i = 0; i < tries; ++i) Propose(std::nullopt);
    if (Below(16) != 0) DropUnreceived();
    if (Below(3) != 0) {
      // The common faults would hide the rare ones: look for one kind.
      const FaultKind wanted = static_cast<FaultKind>(Below(kFaultKinds));
      for (int i = 0; i < 2 * tries && !Propose(wanted); ++i) {
      }
    }
    return MakeSchedule(drafts_);
  }
  const ScriptedPort& port() const { return port_; }

 private:
  int Below(int n) { return static_cast<int>(rng_() % n); }
  template <typename T>
  T Pick(std::initializer_list<T> of) { return *(of.begin() + Below(static_cast<int>(of.size()))); }

  int Stream(int count) {
    const int align = count > 4 ? 16 : count == 3 ? 4 : count;
    const int direction = 32 * Below(2);
    return direction + (count > 8 ? 0 : Below(std::max(1, 4 / align)) * align);
  }

  // Adds a run if the program then has no fault or, if `wanted`, that one. Whether it did.
  bool Propose(std::optional<FaultKind> wanted) {
    Draft d = RandomRun();
    if (Below(2) == 0) {
      d.count = 1 + Below(Pick({3, 10, 40}));
      d.period = Pick({1, 1, 1, 2, 3, 4, 6, 24});
    }
    if (!Validate(d.instr).empty() || !Validate(Last(d)).empty() || Overlaps(d)) return false;
    std::vector<Draft> with = drafts_;
    with.push_back(d);
    if (Info(d.instr.op).unit == Unit::kMem && Below(8) == 0) with.push_back(Joined(d));
    if (!Validate(with.back().instr).empty() || !Validate(Last(with.back())).empty()) return false;
    const std::shared_ptr<Schedule> schedule = MakeSchedule(with);
    Reference::State state;
    Reference reference(*schedule, timing_, port_, state);
    reference.Execute();
    // Vectors nobody receives yet are no reason to refuse.
    const bool faulty = reference.fault && reference.fault->kind != FaultKind::kReceiveMissing;
    if (faulty != wanted.has_value() || (faulty && reference.fault->kind != *wanted)) return false;
    drafts_ = with;
    return true;
  }

  void DropUnreceived() {
    const std::shared_ptr<Schedule> schedule = MakeSchedule(drafts_);
    Reference::State state;
    Reference reference(*schedule, timing_, port_, state);
    reference.Execute();
    for (int link = 0; link < kC2cLinks; ++link) {
      port_.arrivals[link].resize(reference.received(link));
    }
  }

  Instruction Last(const Draft& d) const {
    return InstructionAt({d.instr, d.queue, 0, d.first, d.count, d.period}, d.count - 1);
  }
  bool Overlaps(const Draft& d) const {
    return std::any_of(drafts_.begin(), drafts_.end(), [&](const Draft& o) {
      return o.queue == d.queue && o.first <= d.last() && d.first <= o.last();
    });
  }
  Draft Joined(const Draft& d) {
    Draft j = d;
    const bool reads = d.instr.op == Opcode::kRead || d.instr.op == Opcode::kGather;
    j.instr = Make(reads ? Opcode::kWrite : Opcode::kRead, {Address(), 0, Stream(1)});
    j.instr.joined = true;
    return j;
  }

  int Address() { return Pick({0, 1, 4094, 4095, 4096, 4100, 8191}); }
  int Stride() { return Pick({0, 0, 1, -1, 2, -3}); }

  // Often at the cycle in which something another run wrote passes by.
  int64_t When(const Instruction& in, int queue) {
    if (drafts_.empty() || Below(5) == 0) return Below(160);
    const Draft& from = drafts_[Below(static_cast<int>(drafts_.size()))];
    const int64_t out = from.first + timing_.d_func[static_cast<int>(from.instr.op)];
    const int hops = std::abs(Queue(queue).position - Queue(from.queue).position);
    if (in.op == Opcode::kAcc) return from.first + timing_.mxm_array;
    return out + hops + (Below(3) == 0 ? Below(from.count) * from.period : 0);
  }

  Draft RandomRun() {
    Draft d;
    const int kind = Below(100);
    const int mxm = style_ == 0 ? 70 : style_ == 1 ? 30 : 10;
    if (kind < mxm) {
      Mxm(d);
    } else if (kind < mxm + 10) {
      Link(d);
    } else {
      const int rest = Below(10);
      rest < 5 ? Mem(d) : rest < 8 ? Vxm(d) : rest < 9 ? Sxm(d) : Icu(d);
    }
    d.first = When(d.instr, d.queue);
    return d;
  }

  void Mem(Draft& d) {
    d.queue = MemQueue(Pick({0, 1, 2, 43, 44, 45, 60, 87}));
    const int a = Address(), s = Stride();
    const int which = Below(values_ ? 8 : 6);
    if (which < 4) d.instr = Make(Opcode::kRead, {a, s, Stream(1)});
    else if (which < 6) d.instr = Make(Opcode::kWrite, {a, s, Stream(1)});
    else if (which < 7) d.instr = Make(Opcode::kGather, {a, s, Stream(1), Stream(1)});
    else d.instr = Make(Opcode::kScatter, {a, s, Stream(1), Stream(1)});
  }

  void Vxm(Draft& d) {
    d.queue = VxmQueue(Below(4));
    const int type = Pick({0, 0, 0, 1, 3, 2, 4}), n = TypeBytes(type);
    const Opcode op = Pick({Opcode::kAdd, Opcode::kMul, Opcode::kMask, Opcode::kRelu,
                            Opcode::kTanh, Opcode::kConvert});
    if (op == Opcode::kConvert) {
      const int to = Pick({0, 1, 4});
      d.instr = Make(op, {type, to, Stream(n), Stream(TypeBytes(to))});
    } else if (op == Opcode::kRelu || op == Opcode::kTanh) {
      d.instr = Make(op, {type, Stream(n), Stream(n)});
    } else {
      d.instr = Make(op, {type, Below(10) == 0, Stream(n), Below(2) ? Stream(n) : kNoStream, 1,
                          Stream(n)});
    }
    if (op < Opcode::kNegate && d.instr.arg[3] != kNoStream) d.instr.arg[4] = 0;
  }

  void Mxm(Draft& d) {
    const int plane = style_ == 0 ? Below(2) : Below(kPlanes);
    const int type = style_ == 0 && Below(3) == 0 ? kTypeF16 : Pick({kTypeI8, kTypeI8, kTypeF16});
    const int entry = Pick({0, 1, 2, 3, 31, 32, 62, 63}), stride = Pick({0, 0, 1, -1, 2});
    switch (Below(7)) {
      case 0: {
        const int count = Pick({1, 2, 4, 16});
        d.queue = MxmQueue(plane, kMxmLw);
        d.instr = Make(Opcode::kLw, {type, Pick({0, 8, 16, 100, 150, 310}), Pick({0, 1, 4, 16}),
                                     count, Stream(count)});
        return;
      }
      case 1:
        d.queue = MxmQueue(plane, kMxmIw);
        d.instr = Make(Opcode::kIw, {type});
        return;
      case 2:
        d.queue = MxmQueue(plane, kMxmAbc);
        d.instr = Make(Opcode::kAbcLoad, {type, entry, stride, Stream(TypeBytes(type))});
        return;
      case 3:
        d.queue = MxmQueue(plane, kMxmAbc);
        d.instr = Make(Opcode::kAbcStream, {type, Below(2), Stream(TypeBytes(type))});
        return;
      case 4: case 5:
        d.queue = MxmQueue(plane, kMxmAbc);
        d.instr = Make(Opcode::kAbcFeed, {type, entry, stride});
        return;
      default:
        d.queue = MxmQueue(plane, kMxmAcc);
        d.instr = Make(Opcode::kAcc, {type, Below(16), 0, Below(2), Below(2) ? Stream(4) : kNoStream});
    }
  }

  void Sxm(Draft& d) {
    const Hemisphere h = Pick({Hemisphere::kWest, Hemisphere::kEast});
    const int w = Pick({1, 1, 1, 2, 3, 4});
    const int which = Below(values_ ? 6 : 5);
    d.queue = SxmQueue(h, (which < 2 ? 0 : 2) + Below(2));
    if (which == 0) d.instr = Make(Opcode::kRotate, {Pick({3, 4}), Stream(1), Stream(16)});
    else if (which == 1) d.instr = Make(Opcode::kTranspose, {Stream(16), Stream(16)});
    else if (which == 2) d.instr = Make(Opcode::kShift, {w, 5, 1, Stream(w), Stream(w)});
    else if (which == 3) d.instr = Make(Opcode::kSelect, {w, Stream(w), Stream(w), Stream(1), Stream(w)});
    else if (which == 4) d.instr = Make(Opcode::kDistribute, {w, 0, 0, 7, Stream(w), Stream(w)});
    else d.instr = Make(Opcode::kPermute, {w, Stream(w), Stream(2), Stream(w)});
  }

  void Link(Draft& d) {
    d.queue = C2cQueue(Below(40) == 0 ? 5 : Pick({0, 1, 8}));
    const int which = Below(6);
    if (which < 2) d.instr = Make(Opcode::kSend, {Stream(1)});
    else if (which == 2) d.instr = Make(Opcode::kTransmit, {});
    else d.instr = Make(Opcode::kReceive, {Pick({0, 1, 44, 60}), Address(), Stride()});
  }

  void Icu(Draft& d) {
    d.queue = Pick({0, 44, 88, 104, 107, 120, 128, 136});
    const int which = Below(values_ ? 4 : 3);
    if (which == 0) d.instr = Make(Opcode::kHac, {Stream(1)});
    else if (which == 1) d.instr = Make(Opcode::kSac, {Stream(1)});
    else if (which == 2) d.instr = Make(Opcode::kConfig, {10});
    else d.instr = Make(Opcode::kIfetch, {Stream(1)});
  }

  std::mt19937 rng_;
  const bool values_;
  const ChipTiming& timing_;
  const int style_;
  ScriptedPort port_;
  std::vector<Draft> drafts_;
};

}  // namespace lockstep
