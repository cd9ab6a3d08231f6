#pragma once
// A schedule with its dispatches merged: which run dispatches next, for the whole chip.
//
//   runs   0: mem0 read   x3 every 2     cycle   0  1  2  3  4
//          1: vxm0 add    x2 every 3     order   0  .  0  1 .. -> 0 0 1 0 1
//
// Merged once (4 bytes a dispatch) and shared by all executions and all chips of one program, so
// that the engine's loop is a walk along a list in which idle cycles cost nothing.

#include <cstdint>
#include <memory>
#include <vector>

#include "chip/program.h"

namespace lockstep {

class PreparedProgram {
 public:
  explicit PreparedProgram(std::shared_ptr<const Schedule> schedule);

  const Schedule& schedule() const { return *schedule_; }
  const std::shared_ptr<const Schedule>& shared_schedule() const { return schedule_; }
  // Indices into schedule().runs, one for each dispatch: by cycle, then queue, then index in the
  // queue. The i-th occurrence of a run is its iteration i.
  const std::vector<uint32_t>& order() const { return order_; }
  uint64_t schedule_hash() const { return schedule_hash_; }  // chip/digest.h

 private:
  std::shared_ptr<const Schedule> schedule_;
  std::vector<uint32_t> order_;
  uint64_t schedule_hash_;
};

}  // namespace lockstep
