#pragma once
// How many chips one MPI rank runs: `--chips-per-rank N` or `auto`. Emulated results do not depend
// on it; how many ranks compete for the cores does.

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep {

struct Packing {
  std::optional<int> chips_per_rank = 1;  // nothing: auto
};

// "auto" or a number >= 1; else an error that says so.
absl::StatusOr<Packing> ParsePacking(absl::string_view text);

// auto: as many chips a rank as share `chips` evenly over `ranks`. REQUIRES: all >= 1.
int ChipsPerRank(const Packing& packing, int chips, int ranks);

// What auto chose: "640 chips in 2 ranks of 320: this host has 2 cores".
std::string DescribePacking(int chips, int chips_per_rank, int cores);

}  // namespace lockstep
