#pragma once
// Flags of a comparison with the NCCL baseline: the same for `lockstep compare`, which runs it, and
// for `lockstep submit sweep`, which has a controller run it.

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace lockstep {

struct CompareFlags {
  std::vector<std::string> collectives = {"all_reduce"};
  std::string sizes = "8:8G:2", topology = "groqnode", baseline = "dgx-a100";
  int gpus = 8;
  bool baseline_only = false;
  std::optional<std::string> check, version, launch, algorithm, protocol;
};

// Registers them; `flags` outlives the parse. --baseline-only excludes what concerns our side alone.
void AddCompareFlags(CLI::App& app, CompareFlags* flags);

}  // namespace lockstep
