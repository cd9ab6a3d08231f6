#pragma once
// `lockstep run`: a model on a topology, over MPI ranks that it starts itself or in this process.

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace lockstep {

// Registers the subcommand; a chosen one leaves its outcome in `*result`, which must outlive the
// parse.
void AddRunCommand(CLI::App& app, absl::Status* result);

}  // namespace lockstep
