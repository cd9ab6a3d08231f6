#pragma once
// The flags of a run, the same for `lockstep run` and for lockstep-chip.

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/run/run_options.h"

namespace lockstep {

// What the flags are parsed into; some need a second look (TakeOptions).
struct RunFlags {
  RunOptions options;
  std::optional<std::string> prompt_ids, weights, chips_per_rank;
  std::string engine = "functional";
  std::string transport = "mpi";
};

// Registers the flags of both executables; `flags` outlives the parse.
void AddRunFlags(CLI::App& app, RunFlags* flags);
// Those of `lockstep run` alone: --transport and --threads.
void AddTransportFlags(CLI::App& app, RunFlags* flags);

// The options, checked by ValidateOptions. Every error is one of usage (launcher/exit_code.h).
absl::StatusOr<RunOptions> TakeOptions(const RunFlags& flags);

}  // namespace lockstep
