#pragma once
// `lockstep plan`: which node of a topology would hold which part of a model, what that takes, and
// which other ways there are. Nothing is run.

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace lockstep {

// Registers `plan`. The result of running it goes to *result, which must outlive `app`.
void AddPlanCommand(CLI::App& app, absl::Status* result);

}  // namespace lockstep
