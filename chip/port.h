#pragma once
// What a chip asks of the outside: the far ends of its links. The fabric implements it; an engine
// calls it. Cycles are of the chip's own clock, counted from the start of the program.

#include <cstdint>

#include "chip/vector.h"

namespace lockstep {

enum class Poll : uint8_t {
  kReady,    // the next vector of that link is known, and when it arrives
  kPending,  // not yet known; the caller gives way and asks again later
  kNever,    // the sender has ended and nothing more will come
};

class LinkPort {
 public:
  virtual ~LinkPort() = default;

  virtual bool IsCabled(int link) const = 0;
  // Hands over a vector whose first bit leaves `start_ticks` (1/125 cycle) after the program's start:
  // in the cycle of the SEND, or later in it if the link is still busy then (LinkSerialiser). Payload
  // is null in timing runs.
  virtual void Send(int link, int64_t start_ticks, const Vector* payload) = 0;
  // The start notice of TRANSMIT; start_ticks as for a vector.
  virtual void Transmit(int link, int64_t start_ticks) = 0;

  struct Arrival {
    int64_t cycle = 0;                // in which the last bit is in the receive FIFO
    const Vector* payload = nullptr;  // valid until Pop; null in timing runs
  };
  // The oldest vector not yet popped.
  virtual Poll Peek(int link, Arrival* out) = 0;
  virtual void Pop(int link) = 0;
};

}  // namespace lockstep
