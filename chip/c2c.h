#pragma once
// The 16 link ends of the functional engine: serialisers, receive FIFOs, and the SRAM stores of
// received vectors that are still to come (docs/machine.md, C2C).

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "chip/core.h"
#include "chip/link_serialiser.h"
#include "chip/mem.h"
#include "chip/port.h"

namespace lockstep {

enum class Receipt : uint8_t { kTaken, kBlocked, kFault };

class C2cUnit {
 public:
  // Both outlive this.
  C2cUnit(Core& core, MemUnit& mem) : core_(core), mem_(mem) { Restart(); }

  void Restart();
  bool Send(const Dispatched& d, LinkPort& port);
  bool Transmit(const Dispatched& d, LinkPort& port);
  // kBlocked leaves no trace: the same dispatch is tried again.
  Receipt Receive(const Dispatched& d, LinkPort& port);

  // Cycle and queue of the next store of a received vector (kNoCycle: none is to come).
  static constexpr int64_t kNoCycle = INT64_MAX;
  int64_t next_store() const { return next_store_; }
  int next_store_queue() const { return stores_.front().run->queue; }
  bool StoreNext();

  // The program has ended: false and `receive missing` if a vector was not received.
  bool CheckAllReceived(LinkPort& port, int64_t end);

 private:
  struct Link {
    LinkSerialiser serialiser;
    int64_t received;            // vectors so far
    std::vector<int64_t> taken;  // cycle of the receive of vector k at [k % fifo]
  };
  struct Store {
    const Run* run;
    int64_t i;
    int64_t cycle;
    int slice, address;
    Vector value;
  };

  // When the vector's first bit leaves, in 1/125 cycle; nothing after a fault.
  std::optional<int64_t> TakeSlot(const Dispatched& d, const LinkPort& port, int link);
  bool CheckCabled(const Dispatched& d, const LinkPort& port, int link);

  Core& core_;
  MemUnit& mem_;
  std::array<Link, kC2cLinks> links_;
  std::deque<Store> stores_;  // by cycle, then queue: all take equally long
  int64_t next_store_ = kNoCycle;
};

}  // namespace lockstep
