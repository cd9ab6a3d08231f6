#pragma once
// `lockstep topo NAME|FILE [--json] [--topology-dir DIR]`: what a topology consists of and what its
// wiring can carry, as a table or as JSON.

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/status.h"
#include "fabric/topology.h"
#include "fabric/topology_stats.h"

namespace lockstep {

// Registers the subcommand; when chosen it runs during app.parse() and leaves its outcome in
// `*result`, which must outlive the parse.
void AddTopoCommand(CLI::App& app, absl::Status* result);

// The two forms of output; both end with a line feed.
std::string TopoTable(const Topology& topology, const TopologyStats& stats);
std::string TopoJson(const Topology& topology, const TopologyStats& stats);

}  // namespace lockstep
