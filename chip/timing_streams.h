#pragma once
// The stream rules over whole runs: every read finds the nearest write upstream, no two writes
// meet (docs/machine.md, Streams).
//
// A use of a stream by a run is a progression of diagonals at one position:
//
//   position 3   write  w . w . w . w        diagonals 10, 12, 14, 16
//   position 9   read   . . r . r . r              14, 16, 18  -> 18 has no producer
//
// Positions are counted downstream (westward streams are mirrored), so that diagonal = cycle -
// position for both directions and "upstream" means a lower position.

#include <cstdint>
#include <vector>

#include "chip/geometry.h"
#include "chip/progression.h"
#include "chip/timing_fault.h"

namespace lockstep {

inline constexpr int kStreams = 2 * kStreamsPerDirection;

// One run's use of one stream; element i belongs to dispatch i.
struct StreamUse {
  Progression diagonals;
  int32_t run = 0;
  int32_t position = 0;  // downstream count, 0..26
  bool second_fetch = false;
};

class StreamCheck {
 public:
  // `latency` of a write: cycles from dispatch to the stream.
  void AddWrite(const Run& run, int32_t id, int stream, int position, int64_t latency);
  // `delay` cycles after each dispatch (1: the second vector of an ifetch).
  void AddRead(const Run& run, int32_t id, int stream, int position, int64_t delay);

  // Offers what is broken to `faults` and adds each operand's age to `ages` (by run).
  void Check(const Schedule& schedule, EarliestFault& faults, std::vector<int64_t>& ages);

 private:
  // Writes at one position, by first diagonal, and those a sweep over the reads has reached.
  struct Track {
    std::vector<StreamUse> writes;
    size_t next = 0;
    std::vector<StreamUse> live;
  };
  struct Stream {
    Track tracks[kPositions];
    std::vector<StreamUse> reads;
  };

  void CheckConflicts(const Schedule& schedule, int stream, Track& track, EarliestFault& faults);
  void OfferConflict(const Schedule& schedule, int stream, const StreamUse& a, const StreamUse& b,
                     EarliestFault& faults);
  // Claims in coverage_ what `track` produced for `read`; returns how many elements.
  int64_t Match(Track& track, const StreamUse& read);
  void CheckRead(Stream& stream, int number, const StreamUse& read, EarliestFault& faults,
                 std::vector<int64_t>& ages);

  Stream streams_[kStreams];
  Coverage coverage_;
};

}  // namespace lockstep
