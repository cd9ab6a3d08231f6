#pragma once
// `lockstep jobs|watch|cancel|delete|report|artifacts|controller`: what has become of jobs.

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace lockstep {

// Registers the subcommands; a chosen one leaves its outcome in `*result`, which must outlive the
// parse.
void AddJobCommands(CLI::App& app, absl::Status* result);

}  // namespace lockstep
