#pragma once
// `lockstep exec FILE...`: programs written by hand, one a chip (docs/programs.md,
// runtime/run/exec.h).

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace lockstep {

// Registers the subcommand; when chosen it leaves its outcome in `*result`, which must outlive the
// parse. A Fault of a program is an error of the world: one line, exit code 1.
void AddExecCommand(CLI::App& app, absl::Status* result);

}  // namespace lockstep
