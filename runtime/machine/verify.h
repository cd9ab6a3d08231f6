#pragma once
// Whether compiled chips are legal as a whole, before any of them runs: each chip's own rules
// (chip/timing_check.h, once a distinct program), then all links together (fabric/schedule.h).
//
//   Schedule of chip c --CheckCache--> on-chip faults, link runs --FabricSchedule::Create--> links

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chip/latency.h"
#include "chip/program.h"
#include "chip/timing_check.h"
#include "fabric/launch.h"
#include "fabric/schedule.h"
#include "fabric/wiring.h"

namespace lockstep {

// The link operations of a program.
ChipOperations LinkOperationsOf(const Schedule& schedule, const ProgramCheck& check);

// schedules[c], sram_bytes[c] (allocated): of chip c; chips in one role share one Schedule object,
// which is then checked once. Rules that depend on values (addresses of gather and scatter) and on
// what an earlier run left in the MXM are not decided here: an empty MXM is assumed.
// Errors: the Fault or the broken rule, as text that names chip, queue or link, and cycle.
absl::StatusOr<FabricSchedule> VerifyNode(
    absl::Span<const std::shared_ptr<const Schedule>> schedules,
    absl::Span<const int64_t> sram_bytes, const Wiring& wiring, const ChipTiming& timing);

// The same for chips that each run a row of programs (fabric/launch.h); a fault's cycle is the
// program's own. checks: where to look up and keep what was checked; may be null. Refused, too: a
// program that starts while results of the one before still flow.
absl::StatusOr<FabricSchedule> VerifyLaunches(absl::Span<const Launches> chips,
                                              absl::Span<const int64_t> sram_bytes,
                                              const Wiring& wiring, const ChipTiming& timing,
                                              CheckCache* checks = nullptr);

// A cache of checks that engines in several threads share.
std::shared_ptr<CheckCache> MakeSharedChecks(const ChipTiming& timing);

// Cycles after the last dispatch of a program until none of its results moves any more.
int64_t DrainCycles(const ChipTiming& timing);

}  // namespace lockstep
