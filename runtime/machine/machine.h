#pragma once
// The machine that a program runs on, from what a user may say of it: a topology, a preset of hop
// latencies, and single latencies. What `lockstep run` and `lockstep exec` have in common.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "fabric/link_model.h"
#include "fabric/topology.h"
#include "fabric/wiring.h"

namespace lockstep {

// Links of the topology's rate. Errors: an unknown preset; a rate that no vector time follows from.
absl::StatusOr<LinkModel> MakeLinks(const Topology& topology, absl::string_view preset);

// `timing` with `latencies`, NAME=VALUE each, applied in order. An error names the one that is
// wrong.
absl::StatusOr<ChipTiming> SetLatencies(ChipTiming timing,
                                        const std::vector<std::string>& latencies);

// `timing` with the part of a hop that the links' receivers take.
ChipTiming WithHops(ChipTiming timing, const LinkModel& links);

// The default latencies with what the links say, then `latencies`.
absl::StatusOr<ChipTiming> MakeTiming(const std::vector<std::string>& latencies,
                                      const LinkModel& links);

// Cycles that a bit flies over the topology's cables of that place, with what its rules add.
// REQUIRES: the topology has such cables.
int32_t FlightCycles(const Topology& topology, const LinkModel& links, Place place);

// The cables among the first `chips` chips. Error: more than the topology has.
absl::StatusOr<Wiring> MakeWiring(const Topology& topology, int chips, const LinkModel& links,
                                  const ChipTiming& timing);

}  // namespace lockstep
