#pragma once
// IFETCH of the functional engine: what a queue fetches must be its own text (docs/machine.md, ICU).
//
//   ifetch at t     first vector: read at t            second vector: read at t + 1
//   text of queue   [0, 1280) preloaded | 640 B of the first ifetch | 640 B of the second | ...
//
// The bytes compared are those of chip/binary.h, and zeros beyond the last instruction. The text is
// the program's (Schedule::texts); in one that is not fetched, an ifetch only takes its vectors.

#include <array>
#include <cstdint>
#include <deque>

#include "chip/core.h"

namespace lockstep {

class FetchUnit {
 public:
  explicit FetchUnit(Core& core) : core_(core) {}  // outlives this

  // `schedule` outlives the execution that begins.
  void Restart(const Schedule& schedule);
  // Reads the first vector; the second is noted.
  bool Fetch(const Dispatched& d);

  // Cycle and queue of the next second vector (kNoCycle: none is to come).
  static constexpr int64_t kNoCycle = INT64_MAX;
  int64_t next() const { return seconds_.empty() ? kNoCycle : seconds_.front().cycle; }
  int next_queue() const { return seconds_.front().run->queue; }
  bool FetchNext();

 private:
  struct Second {
    const Run* run;
    int64_t i;
    int64_t cycle;
    int position;
    int64_t* age;
    int64_t offset;  // in the queue's text
  };

  // Takes the stream's vector in `cycle` and compares it with the text at `offset`.
  bool Take(const Dispatched& d, int64_t cycle, int64_t offset);

  Core& core_;
  std::array<const std::string*, kQueues> texts_{};  // null: nothing to compare with
  std::array<int64_t, kQueues> fetched_{};           // bytes, those preloaded included
  std::deque<Second> seconds_;                       // by cycle, then queue
};

}  // namespace lockstep
