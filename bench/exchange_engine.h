#pragma once
// A chip that does nothing but exchange: each window it sends some vectors to both neighbours of a
// ring and takes as many from each. What a transport costs, without an engine around it.

#include <cstdint>
#include <memory>
#include <vector>

#include "chip/check.h"
#include "chip/engine.h"
#include "fabric/fleet.h"
#include "fabric/wiring.h"

namespace lockstep {

inline constexpr uint32_t kExchangeChips = 8;

// Link 0 to the next chip, link 1 to the one before.
inline Wiring RingWiring() {
  std::vector<Wire> wires;
  for (uint32_t c = 0; c < kExchangeChips; ++c) {
    const uint32_t next = (c + 1) % kExchangeChips;
    wires.push_back({c, 0, 1, next, 217});
    wires.push_back({next, 1, 0, c, 217});
  }
  absl::StatusOr<Wiring> wiring = Wiring::Create(kExchangeChips, std::move(wires), 2952);
  LOCKSTEP_CHECK(wiring.ok(), "%s", wiring.status().ToString());
  return *std::move(wiring);
}

class ExchangeEngine : public Engine {
 public:
  ExchangeEngine(int64_t windows, int64_t vectors, bool payload)
      : windows_(windows), vectors_(vectors), payload_(payload) {}

  void Start(std::shared_ptr<const Schedule>) override { window_ = taken_ = 0, sent_ = false; }

  EngineState Run(LinkPort& port) override {
    for (; window_ < windows_; ++window_, taken_ = 0, sent_ = false) {
      for (int64_t i = 0; !sent_ && i < 2 * vectors_; ++i) {
        port.Send(static_cast<int>(i & 1), i / 2 * 24, payload_ ? &vector_ : nullptr);
      }
      sent_ = true;
      for (; taken_ < 2 * vectors_; ++taken_) {
        link_ = taken_ < vectors_ ? 0 : 1;
        LinkPort::Arrival arrival;
        if (port.Peek(link_, &arrival) != Poll::kReady) return EngineState::kBlocked;
        if (arrival.payload != nullptr) vector_.bytes[0] ^= arrival.payload->bytes[0];
        port.Pop(link_);
      }
    }
    return EngineState::kDone;
  }
  int blocked_link() const override { return link_; }
  const Fault& fault() const override { return fault_; }
  uint64_t timing_digest() const override { return 0; }

 private:
  const int64_t windows_, vectors_;
  const bool payload_;
  int64_t window_ = 0, taken_ = 0;
  bool sent_ = false;
  int link_ = 0;
  Vector vector_{};
  Fault fault_{};
};

// One program run of `windows` exchanges by the chips of this process. No fault is possible.
inline void Exchange(Transport& transport, int64_t windows, int64_t vectors, bool payload) {
  std::vector<std::unique_ptr<ExchangeEngine>> engines;
  std::vector<Engine*> pointers;
  for (size_t i = 0; i < transport.chips().size(); ++i) {
    engines.push_back(std::make_unique<ExchangeEngine>(windows, vectors, payload));
    pointers.push_back(engines.back().get());
  }
  Fleet fleet(&transport, pointers);
  const std::optional<Fault> fault =
      fleet.Run(std::vector<std::shared_ptr<const Schedule>>(pointers.size()));
  LOCKSTEP_CHECK(!fault, "an exchange broke a rule");
}

}  // namespace lockstep
