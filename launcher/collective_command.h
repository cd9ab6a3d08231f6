#pragma once
// `lockstep collective`: a collective compiled for a topology, verified and run in this process.

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace lockstep {

// The result of the command, once parsed, is left in *result.
void AddCollectiveCommand(CLI::App& app, absl::Status* result);

}  // namespace lockstep
