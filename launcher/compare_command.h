#pragma once
// `lockstep compare`: collectives of a node of chips beside those of eight GPUs under NCCL.

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace lockstep {

// Registers the command; its status lands in `*result`, which must outlive `app`.
void AddCompareCommand(CLI::App& app, absl::Status* result);

}  // namespace lockstep
