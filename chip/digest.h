#pragma once
// The timing digest: what makes two executions the same to the cycle (docs/machine.md, Digest).
// Both engines feed it every run they retire, in the order of Schedule::runs; equal digests mean
// equal queues, opcodes, cycles, counts and operand ages, over all executions of a chip.

#include <cstdint>
#include <memory>

#include "chip/event.h"

struct XXH64_state_s;

namespace lockstep {

class TimingDigest {
 public:
  TimingDigest();
  ~TimingDigest();
  TimingDigest(const TimingDigest&) = delete;
  TimingDigest& operator=(const TimingDigest&) = delete;

  // Adds queue, opcode, first, last, count, operand_age, each as a little-endian int64.
  void Add(const RunRetired& run);
  // Over all that was added so far; more may follow.
  uint64_t value() const;

 private:
  struct Free {
    void operator()(XXH64_state_s* state) const;
  };
  std::unique_ptr<XXH64_state_s, Free> state_;
};

}  // namespace lockstep
