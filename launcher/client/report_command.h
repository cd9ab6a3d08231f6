#pragma once
// `lockstep report`: a job's table or figures, or what jobs and runs left as one HTML page.

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace lockstep {

// Registers the command; its status lands in `*result`, which must outlive `app`.
void AddReportCommand(CLI::App& app, absl::Status* result);

}  // namespace lockstep
