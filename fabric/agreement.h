#pragma once
// What the processes of a fabric settle among themselves between program runs, built on the
// transport's Broadcast and Gather. All processes call these in the same order.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "chip/fault.h"
#include "fabric/transport.h"

namespace lockstep {

// The bytes of each process, by rank, in every process.
std::vector<std::string> AllGather(Transport& transport, absl::string_view bytes);

// Ok if all processes are; else `mine`, or the error of the first process that has one.
absl::Status AgreeOnStatus(Transport& transport, const absl::Status& mine);

// Ok if all processes hold the same digest; else, in every process, an error that names the ranks
// whose digest is not that of rank 0. Guards against ranks started with different models or plans.
absl::Status AgreeDigest(Transport& transport, uint64_t digest);

// The earliest of all processes' faults by Fault::Before, in every process.
std::optional<Fault> EarliestFault(Transport& transport, const std::optional<Fault>& mine);

// A fault in bytes (little-endian hosts) and back; the error of bad bytes is kDataLoss.
std::string SerializeFault(const Fault& fault);
absl::StatusOr<Fault> ParseFault(absl::string_view bytes);

}  // namespace lockstep
