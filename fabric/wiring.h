#pragma once
// What a transport must know of the cables: for each direction of each cable, where it starts, where
// it ends and how long a bit flies. Whoever has a topology converts it to this; a transport sees
// nothing else of it. Built by a validating Create(), then immutable.

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace lockstep {

inline constexpr int kLinksPerChip = 16;

// One direction of a cable; link numbers are C2C ends 0..15 of their chips.
struct Wire {
  uint32_t from_chip;
  uint8_t from_link;
  uint8_t to_link;
  uint32_t to_chip;
  int32_t flight_cycles;
  bool operator==(const Wire&) const = default;
};

class Wiring {
 public:
  // `chips` is the number of chips; `vector_ticks` a vector's time on the link in 1/125 cycle.
  // Errors: a chip or link out of range, two wires on one link end, a wire without its opposite (a
  // cable has both directions), negative flight.
  static absl::StatusOr<Wiring> Create(uint32_t chips, std::vector<Wire> wires,
                                       int64_t vector_ticks);

  uint32_t chips() const { return chips_; }
  int64_t vector_ticks() const { return vector_ticks_; }
  absl::Span<const Wire> wires() const { return wires_; }

  // Index of the wire that leaves, or enters, that end; -1: no cable.
  // REQUIRES: chip < chips(), 0 <= link < 16.
  int32_t outgoing(uint32_t chip, int link) const { return out_[chip * kLinksPerChip + link]; }
  int32_t incoming(uint32_t chip, int link) const { return in_[chip * kLinksPerChip + link]; }
  bool cabled(uint32_t chip, int link) const { return outgoing(chip, link) >= 0; }

  // When a vector whose first bit leaves on `wire` at `start_ticks` (1/125 cycle) is in the far FIFO.
  int64_t ArrivalCycle(int32_t wire, int64_t start_ticks) const;

 private:
  Wiring() = default;

  uint32_t chips_ = 0;
  int64_t vector_ticks_ = 0;
  std::vector<Wire> wires_;
  std::vector<int32_t> out_, in_;
};

}  // namespace lockstep
