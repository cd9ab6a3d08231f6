// Links, latencies, wires (runtime/machine/machine.h).
#include "runtime/machine/machine.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

const CableRule& CableOf(const TopologySpec& spec, Place place) {
  switch (place) {
    case Place::kNode:
      return spec.node.cable;
    case Place::kRack:
      return spec.rack->cable;
    case Place::kSystem:
      return spec.system->cable;
  }
  LOCKSTEP_FAIL("no place %d", static_cast<int>(place));
}

}  // namespace

absl::StatusOr<LinkModel> MakeLinks(const Topology& topology, absl::string_view preset) {
  const LinkRule& rule = topology.spec().link;
  LinkRate rate;
  rate.lanes = rule.lanes;
  rate.lane_bits_per_second = int64_t{rule.lane_mbit_per_s} * 1'000'000;
  return LinkModel::Create(preset, rate);
}

ChipTiming WithHops(ChipTiming timing, const LinkModel& links) {
  timing.receive_turnaround += static_cast<int32_t>(links.turnaround_cycles());
  return timing;
}

absl::StatusOr<ChipTiming> MakeTiming(const std::vector<std::string>& latencies,
                                      const LinkModel& links) {
  ChipTiming timing = WithHops(ChipTiming::Default(), links);
  timing.link_ticks = static_cast<int32_t>(links.vector_ticks());
  return SetLatencies(timing, latencies);
}

absl::StatusOr<ChipTiming> SetLatencies(ChipTiming timing,
                                        const std::vector<std::string>& latencies) {
  for (const std::string& latency : latencies) {
    const size_t equals = latency.find('=');
    int32_t value = 0;
    if (equals == std::string::npos || !absl::SimpleAtoi(latency.substr(equals + 1), &value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set ", latency, ": expected NAME=VALUE with a whole number of cycles"));
    }
    absl::StatusOr<ChipTiming> changed = timing.With(latency.substr(0, equals), value);
    if (!changed.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set ", latency, ": ", changed.status().message()));
    }
    timing = *changed;
  }
  return timing;
}

int32_t FlightCycles(const Topology& topology, const LinkModel& links, Place place) {
  const CableRule& cable = CableOf(topology.spec(), place);
  constexpr int64_t kPicoseconds = 1'000'000'000'000;
  const int64_t extra =
      (cable.ExtraDelayPs() * links.rate().clock_hz + kPicoseconds - 1) / kPicoseconds;
  return static_cast<int32_t>(links.flight_cycles() + extra);
}

absl::StatusOr<Wiring> MakeWiring(const Topology& topology, int chips, const LinkModel& links,
                                  const ChipTiming& timing) {
  ASSIGN_OR_RETURN(const Topology part, topology.Subset(chips));
  std::vector<Wire> wires;
  for (const Link& link : part.links()) {
    wires.push_back({link.from.value(), static_cast<uint8_t>(link.from_port.value()),
                     static_cast<uint8_t>(link.to_port.value()), link.to.value(),
                     FlightCycles(topology, links, link.place)});
  }
  return Wiring::Create(static_cast<uint32_t>(chips), std::move(wires), timing.link_ticks);
}

}  // namespace lockstep
