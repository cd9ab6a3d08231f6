#pragma once
// The flags of `lockstep plan` and `lockstep run` that say how a model is spread.

#include <CLI/CLI.hpp>

#include "runtime/compiler/deployment_options.h"

namespace lockstep {

// What they are given must outlive the parse.
void AddDeploymentFlags(CLI::App& app, DeploymentOptions* options);
// Those of them that `run` takes over as they are.
void AddSharedFlags(CLI::App& app, std::optional<std::string>* kv_cache,
                    std::vector<std::string>* failed);

}  // namespace lockstep
