#pragma once
// The timing digest: what makes two executions the same to the cycle (docs/machine.md, Digest).
// Both engines feed it every execution that ends well: which runs there were, and how old each
// run's operands. Equal digests mean equal queues, opcodes, cycles, counts and operand ages, over
// all executions of a chip.
//
// What is fixed before a program runs is hashed once a schedule, not once an execution: then an
// execution costs 8 bytes a run.

#include <cstdint>
#include <memory>
#include <span>

#include "chip/program.h"

struct XXH64_state_s;

namespace lockstep {

// Over the runs in order: queue, opcode, first, last, count, each as a little-endian int64.
uint64_t ScheduleHash(const Schedule& schedule);

class TimingDigest {
 public:
  TimingDigest();
  ~TimingDigest();
  TimingDigest(const TimingDigest&) = delete;
  TimingDigest& operator=(const TimingDigest&) = delete;

  // Adds one execution: the ScheduleHash of what ran, then the operand age of each run in order.
  void Add(uint64_t schedule_hash, std::span<const int64_t> operand_ages);
  // Over all that was added so far; more may follow.
  uint64_t value() const;

 private:
  struct Free {
    void operator()(XXH64_state_s* state) const;
  };
  std::unique_ptr<XXH64_state_s, Free> state_;
};

}  // namespace lockstep
