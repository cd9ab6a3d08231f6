#pragma once
// What every command of an MPI rank does alike: only rank 0 speaks.

#include <CLI/CLI.hpp>
#include <optional>

#include "absl/status/status.h"

namespace lockstep {

// Open MPI sets it in every rank.
bool StartedByMpirun();
int RankByMpirun();  // 0 if mpirun did not start this process

// Reads the flags; the exit code if the process ends with that (a wrong flag, --help).
std::optional<int> ParseRankFlags(CLI::App& app, int argc, char** argv);

// Says what went wrong, and returns the exit code.
int ReportOfRank(const absl::Status& status, int rank);

}  // namespace lockstep
