#pragma once
// The MXM's state machine without values: buffers, installs, feeds and results over whole runs
// (docs/machine.md, MXM).
//
// What a feed may do changes only at an install, so a run of feeds is checked once between two
// installs; installs are taken one by one.

#include <array>
#include <cstdint>
#include <vector>

#include "chip/latency.h"
#include "chip/queue.h"
#include "chip/timing_fault.h"

namespace lockstep {

// A set of weight rows.
class RowSet {
 public:
  bool any() const;
  bool AnyIn(int begin, int end) const;
  void Add(int begin, int end);
  void Clear() { words_ = {}; }
  bool operator==(const RowSet&) const = default;

 private:
  std::array<uint64_t, 5> words_{};  // 320 rows
};

enum class Held : uint8_t { kNothing, kI8, kF16 };

// What stays from one execution of a program to the next.
struct MxmState {
  struct Plane {
    Held installed = Held::kNothing;
    RowSet rows;  // i8 rows of the weight buffer
    uint64_t i8_entries = 0, f16_entries = 0;  // activation vectors loaded, by type
    bool operator==(const Plane&) const = default;
  };
  std::array<Plane, kPlanes> planes;
  std::array<RowSet, 2> f16_rows;  // of the shared buffer, by hemisphere (rows 0..159)
  bool operator==(const MxmState&) const = default;
};

// Runs of the MXM queues, by queue, in order of dispatch; only MXM opcodes.
using MxmRuns = std::array<std::vector<int32_t>, kPlanes * 4>;

// Every acc finds a result of its type. Independent of the state.
void CheckResults(const Schedule& schedule, const MxmRuns& runs, const ChipTiming& timing,
                  EarliestFault& faults);

// The other rules, from `state` on; leaves in `state` what the execution leaves.
void CheckMxm(const Schedule& schedule, const MxmRuns& runs, const ChipTiming& timing,
              MxmState& state, EarliestFault& faults);

}  // namespace lockstep
