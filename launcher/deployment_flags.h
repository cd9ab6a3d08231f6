#pragma once
// The flags of `lockstep plan` and `lockstep run` that say how a model is spread.

#include <CLI/CLI.hpp>

#include "runtime/deployment_options.h"

namespace lockstep {

// `options` must outlive the parse.
void AddDeploymentFlags(CLI::App& app, DeploymentOptions* options);

}  // namespace lockstep
