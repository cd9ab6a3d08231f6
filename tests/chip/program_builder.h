#pragma once
// A small language for test programs: say what dispatches in which cycle of which queue; the NOPs
// between are filled in.
//
//   ProgramBuilder p;
//   p.At(0, MemQueue(3), Op(Opcode::kRead, {7, 0, E(5)}));
//   p.At(4, MemQueue(9), Op(Opcode::kWrite, {7, 1, E(5)}), 10, 2);   // 10 times, 2 cycles apart

#include <algorithm>
#include <array>
#include <deque>
#include <initializer_list>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "chip/check.h"
#include "chip/no_links.h"
#include "chip/port.h"
#include "chip/program.h"

namespace lockstep {

inline int E(int stream) { return StreamNumber(Direction::kEast, stream); }
inline int W(int stream) { return StreamNumber(Direction::kWest, stream); }

inline Instruction Op(Opcode op, std::initializer_list<int32_t> args) {
  Instruction in;
  in.op = op;
  std::copy(args.begin(), args.end(), in.arg.begin());
  return in;
}

inline int OpCycles(Opcode op) {
  return ChipTiming::Default().d_func[static_cast<int>(op)];
}

class ProgramBuilder {
 public:
  // In a cycle a queue takes one instruction, or two of which the second is `Joined`.
  ProgramBuilder& At(int64_t cycle, int queue, const Instruction& in, int count = 1,
                     int period = 1) {
    placed_[queue][cycle].push_back({in, count, period});
    return *this;
  }
  ProgramBuilder& Joined(int64_t cycle, int queue, Instruction in) {
    in.joined = true;
    return At(cycle, queue, in);
  }

  Program Build() const {
    Program program;
    for (const auto& [queue, list] : placed_) {
      std::vector<Instruction>& text = program.queues[queue];
      int64_t now = 0;
      for (const auto& [cycle, group] : list) {
        LOCKSTEP_CHECK(cycle >= now, "queue %d is busy in cycle %d", queue, cycle);
        for (int64_t gap = cycle - now; gap > 0; gap -= 65535) {
          text.push_back(Op(Opcode::kNop, {static_cast<int32_t>(std::min<int64_t>(gap, 65535))}));
        }
        for (const Placed& p : group) {
          text.push_back(p.in);
          if (p.count > 1) text.push_back(Op(Opcode::kRepeat, {p.count - 1, p.period}));
        }
        now = cycle + int64_t{group[0].count - 1} * group[0].period + 1;
      }
    }
    return program;
  }

  std::shared_ptr<const Schedule> Scheduled() const {
    DispatchResult result = Dispatch(Build(), ChipTiming::Default());
    LOCKSTEP_CHECK(!result.fault.has_value(), "the program does not dispatch: %s",
                   result.fault->detail);
    return std::make_shared<const Schedule>(std::move(result.schedule));
  }

 private:
  struct Placed {
    Instruction in;
    int count, period;
  };
  std::map<int, std::map<int64_t, std::vector<Placed>>> placed_;
};

// Links whose arrivals the test writes, and whose sends it reads.
class FakeLinks : public LinkPort {
 public:
  struct Sent {
    int link;
    int64_t cycle;
    Vector payload;
  };
  std::array<bool, kC2cLinks> cabled{};
  std::array<std::deque<std::pair<int64_t, Vector>>, kC2cLinks> arrivals;
  Poll when_empty = Poll::kNever;
  std::vector<Sent> sent;

  bool IsCabled(int link) const override { return cabled[link]; }
  void Send(int link, int64_t start_ticks, const Vector* v) override {
    sent.push_back({link, start_ticks / kTicksPerCycle, *v});
  }
  void Transmit(int, int64_t) override {}
  Poll Peek(int link, Arrival* out) override {
    if (arrivals[link].empty()) return when_empty;
    *out = {arrivals[link].front().first, &arrivals[link].front().second};
    return Poll::kReady;
  }
  void Pop(int link) override { arrivals[link].pop_front(); }
};

inline Vector RandomVector(std::mt19937& random) {
  Vector v;
  for (uint8_t& byte : v.bytes) byte = static_cast<uint8_t>(random());
  return v;
}

}  // namespace lockstep
