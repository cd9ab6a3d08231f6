#pragma once
// Every latency of the chip, in one table, with its origin. Few are published; the others are
// marked assumed and can be swept (`--set NAME=VALUE`, ChipTiming::Scaled).

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "chip/isa.h"

namespace lockstep {

// Link time is counted in 1/125 cycle: 328 B at 100 Gb/s and 900 MHz are 2952/125 = 23.616 cycles.
inline constexpr int64_t kTicksPerCycle = 125;
inline constexpr int kHacPeriod = 252;  // ISCA'22 footnote 4

struct ChipTiming {
  std::array<int32_t, kOpcodes> d_func{};  // cycles from dispatch to result, by opcode
  int32_t barrier = 35;           // notify to release (ISCA'20 III-A2)
  int32_t mxm_array = 24;         // feed to the cycle in which ACC takes the result
  int32_t receive_turnaround = 0; // receive to SRAM beyond d_func (hop-latency preset C: 433)
  int32_t receive_fifo = 2;       // vectors a link end holds before they are received
  int32_t link_ticks = 2952;      // a vector's serialisation, in 1/125 cycle

  static ChipTiming Default();

  struct Parameter {
    absl::string_view name;
    int32_t value;
    bool assumed;
    absl::string_view origin;
  };
  // All of them, in a fixed order; docs/assumptions.md is tested against this.
  std::vector<Parameter> Parameters() const;
  // This table with parameter `name` = value; an error names an unknown parameter or a bad value.
  absl::StatusOr<ChipTiming> With(absl::string_view name, int32_t value) const;
  // This table with every assumed d_func (and the array depth) times percent / 100, at least 1.
  ChipTiming Scaled(int percent) const;

  bool operator==(const ChipTiming&) const = default;
};

}  // namespace lockstep
