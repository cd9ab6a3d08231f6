#pragma once
// A chip that does what a list says: a fake of chip/engine.h for the tests of transports. It sends
// and receives at given cycles, checks what it receives, keeps a trace, and breaks rules when told.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chip/engine.h"
#include "chip/queue.h"

namespace lockstep {

struct Act {
  enum Kind { kSend, kReceive, kBreak } kind;
  int link = 0;
  int64_t cycle = 0;  // of the first
  int64_t count = 1;  // one every 24 cycles
};

inline constexpr int64_t kActPeriod = 24;  // >= 2952 / 125

// The payload that chip `chip` sends in `cycle` over `link`.
inline Vector PayloadOf(uint32_t chip, int link, int64_t cycle) {
  Vector v;
  uint64_t x = chip * 1000003ull + link * 7919ull + static_cast<uint64_t>(cycle) * 2654435761ull;
  for (uint8_t& b : v.bytes) {
    x = x * 6364136223846793005ull + 1442695040888963407ull;
    b = static_cast<uint8_t>(x >> 56);
  }
  return v;
}

class ScriptedEngine : public Engine {
 public:
  // Looks for vectors nobody received at its end if `looks_back`, as chip/engine.h's real ones may.
  ScriptedEngine(uint32_t chip, bool payload, bool looks_back)
      : chip_(chip), payload_(payload), looks_back_(looks_back) {}

  void SetScript(std::vector<Act> acts) { acts_ = std::move(acts); }

  void Start(std::shared_ptr<const Schedule>) override {
    act_ = 0;
    done_ = 0;
    link_ = 0;
    trace_ = absl::StrCat("chip", chip_, ":");
  }

  EngineState Run(LinkPort& port) override {
    for (; act_ < acts_.size(); ++act_, done_ = 0) {
      for (; done_ < acts_[act_].count; ++done_) {
        const EngineState state = Do(acts_[act_], port);
        if (state != EngineState::kDone) return state;
      }
    }
    return looks_back_ ? LookBack(port) : EngineState::kDone;
  }

  int blocked_link() const override { return link_; }
  const Fault& fault() const override { return fault_; }
  uint64_t timing_digest() const override { return digest_; }
  // Of the last run: links, arrivals and payload sums in the order received.
  const std::string& trace() const { return trace_; }

 private:
  EngineState Do(const Act& act, LinkPort& port) {
    const int64_t cycle = act.cycle + done_ * kActPeriod;
    link_ = act.link;
    if (act.kind == Act::kBreak) return Broken(FaultKind::kBankConflict, cycle);
    if (act.kind == Act::kSend) {
      const Vector v = payload_ ? PayloadOf(chip_, act.link, cycle) : Vector();
      port.Send(act.link, cycle * kTicksPerCycle, payload_ ? &v : nullptr);
      return EngineState::kDone;
    }
    LinkPort::Arrival arrival;
    const Poll poll = port.Peek(act.link, &arrival);
    if (poll == Poll::kPending) return EngineState::kBlocked;
    if (poll == Poll::kNever || arrival.cycle > cycle) {
      return Broken(FaultKind::kReceiveEmpty, cycle);
    }
    Note(arrival);
    port.Pop(act.link);
    return EngineState::kDone;
  }

  EngineState LookBack(LinkPort& port) {
    for (link_ = 0; link_ < 16; ++link_) {
      if (!port.IsCabled(link_)) continue;
      LinkPort::Arrival arrival;
      const Poll poll = port.Peek(link_, &arrival);
      if (poll == Poll::kPending) return EngineState::kBlocked;
      if (poll == Poll::kReady) return Broken(FaultKind::kReceiveMissing, arrival.cycle);
    }
    return EngineState::kDone;
  }

  EngineState Broken(FaultKind kind, int64_t cycle) {
    fault_ = {.kind = kind, .chip = chip_, .queue = C2cQueue(link_), .cycle = cycle,
              .instruction = {.op = Opcode::kReceive}, .detail = absl::StrCat("link ", link_)};
    return EngineState::kFault;
  }

  void Note(const LinkPort::Arrival& arrival) {
    uint64_t sum = 0;
    if (arrival.payload != nullptr) {
      for (uint8_t b : arrival.payload->bytes) sum = sum * 31 + b;
    }
    digest_ = (digest_ ^ static_cast<uint64_t>(arrival.cycle) ^ sum) * 1099511628211ull + link_;
    absl::StrAppend(&trace_, " ", link_, "@", arrival.cycle, "=", absl::Hex(sum));
  }

  const uint32_t chip_;
  const bool payload_, looks_back_;
  std::vector<Act> acts_;
  size_t act_ = 0;
  int64_t done_ = 0;
  int link_ = 0;
  Fault fault_{};
  uint64_t digest_ = 14695981039346656037ull;
  std::string trace_;
};

}  // namespace lockstep
