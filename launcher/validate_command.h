#pragma once
// `lockstep validate [--only V5,V7] [--json FILE] [--set NAME=VALUE] [--scale PERCENT]`: published
// figures against what programs measure on the emulator, as a table. Exit code 1 if any fails.

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace lockstep {

// Registers the subcommand; when chosen it runs during app.parse() and leaves its outcome in
// `*result`, which must outlive the parse.
void AddValidateCommand(CLI::App& app, absl::Status* result);

}  // namespace lockstep
