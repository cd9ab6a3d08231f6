#pragma once
// One C2C link in time: how a vector is framed, how long it occupies the link, when it arrives.
//
//   first bit leaves                                            in the far receive FIFO
//   |---------- 2952 ticks of 1/125 cycle ----------|------ flight ------|
//   s ticks: dispatch, or when the link is free     last bit leaves      ceil((s + 2952)/125) + flight
//
// A 320-byte vector is 41 flits of 8 B on the wire (ISCA'22 Fig 11). There is no routing header, no
// retry and no arbitration, so the arrival follows from the send cycle alone.
//
// Hop latency is published three ways that cannot all hold. They are presets:
//
//   A  flight 217, turnaround   0   ISCA'22 Table 2 read as the one-way latency (mean 216.67)
//   B  flight 469, turnaround   0   Table 2 plus one HAC period of 252: it is measured modulo that
//   C  flight 217, turnaround 433   ISCA'22 5.6: 722 ns = 650 cycles a hop; split is our assumption
//
// The default is B: it alone agrees with two published end-to-end figures, GroqRack's 1.6 us over
// 3 hops (1.56) and "< 3 us" over 5 hops (2.60). A gives 0.72 and 1.20 us, far below the first;
// C gives 2.17 and 3.61 us and breaks both. C alone agrees with the 2.1 us all-reduce. A hop here
// is flight + turnaround; serialisation comes on top, once a vector.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "chip/latency.h"
#include "chip/types.h"
#include "chip/vector.h"

namespace lockstep {

// Framing: a header flit, 39 body flits, a tail flit.
inline constexpr int kFlitBytes = 8;
inline constexpr int kFlitsPerVector = 41;
inline constexpr int kWireBytes = kFlitBytes * kFlitsPerVector;

// Wire bytes of a payload of whole vectors. REQUIRES: payload is a multiple of 320.
WireBytes ToWire(PayloadBytes payload);

struct LinkRate {
  int lanes = 4;
  int64_t lane_bits_per_second = 25'000'000'000;
  int64_t clock_hz = 900'000'000;
};

class LinkModel {
 public:
  static constexpr absl::string_view kDefaultPreset = "B";

  // REQUIRES of the caller nothing: an unknown preset is an error that names those there are; a rate
  // whose vector time is no whole number of 1/125 cycle is an error that states the fraction.
  static absl::StatusOr<LinkModel> Create(absl::string_view preset = kDefaultPreset,
                                          const LinkRate& rate = LinkRate());

  absl::string_view preset() const { return preset_; }
  // Where the preset's figures come from and what they assume.
  absl::string_view origin() const { return origin_; }
  // Why kDefaultPreset is the default; every report states it.
  static absl::string_view DefaultReason();

  // Over a cable inside a node, which is what Table 2 measured. What a topology's rules add for other
  // cables: CableRule (fabric/topology_spec.h).
  int64_t flight_cycles() const { return flight_; }
  int64_t turnaround_cycles() const { return turnaround_; }  // ChipTiming::receive_turnaround
  int64_t hop_cycles() const { return flight_ + turnaround_; }
  int64_t vector_ticks() const { return ticks_; }  // 1/125 cycle; ChipTiming::link_ticks
  const LinkRate& rate() const { return rate_; }

  // First cycle in which a vector sent at `send` can be received, over a node's cable.
  // The link was free before.
  int64_t ArrivalCycle(int64_t send) const {
    return ArrivalAfter(send * kTicksPerCycle, ticks_, flight_);
  }
  // The same for any serialisation and flight, from when the first bit leaves (1/125 cycle).
  // REQUIRES: start_ticks >= 0.
  static constexpr int64_t ArrivalAfter(int64_t start_ticks, int64_t ticks, int64_t flight) {
    return (start_ticks + ticks + kTicksPerCycle - 1) / kTicksPerCycle + flight;
  }

  // `hop latency B: 469 cycles flight + 0 turnaround, 2952/125 cycles a vector (...)`
  std::string ToString() const;

 private:
  LinkModel() = default;

  absl::string_view preset_, origin_;
  int64_t flight_ = 0, turnaround_ = 0, ticks_ = 0;
  LinkRate rate_;
};

}  // namespace lockstep
