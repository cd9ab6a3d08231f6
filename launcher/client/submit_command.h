#pragma once
// `lockstep submit generate|run|plan|validate|spec`, and `lockstep generate`, which waits and shows the
// text.

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace lockstep {

// Registers the subcommands; a chosen one leaves its outcome in `*result`, which must outlive the
// parse.
void AddSubmitCommands(CLI::App& app, absl::Status* result);

}  // namespace lockstep
