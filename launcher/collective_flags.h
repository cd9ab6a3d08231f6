#pragma once
// The flags of a collective and the table of its outcome, for `lockstep collective` and for the
// ranks that it starts.

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/topology.h"
#include "runtime/collectives/collective_run.h"

namespace lockstep {

// What the flags are parsed into.
struct CollectiveFlags {
  CollectiveRequest request;  // complete after TakeTopology
  std::string kind = "all_reduce", engine = "timing", algorithm = "auto", topology, topology_dir;
  std::string chips_per_rank = "1";
  std::optional<int> chips;
  std::string report, links;  // files; empty: none
};

// Registers them; `flags` outlives the parse.
void AddCollectiveFlags(CLI::App& app, CollectiveFlags* flags);

// Completes `flags->request`; the chips that take part. Every error is one of usage.
absl::StatusOr<Topology> TakeTopology(CollectiveFlags* flags);

// The arguments that give these flags again, for ranks of `chips_per_rank` chips.
std::vector<std::string> CollectiveArguments(const CollectiveFlags& flags, int chips_per_rank);

// Writes the files asked for, and the table to standard output. Errors of the run that the user's input caused are of usage.
absl::Status ShowCollective(const CollectiveFlags& flags,
                            const absl::StatusOr<CollectiveOutcome>& outcome);

}  // namespace lockstep
