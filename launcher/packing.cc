// Rules of `--chips-per-rank` (launcher/packing.h).
#include "launcher/packing.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lockstep {

absl::StatusOr<Packing> ParsePacking(absl::string_view text) {
  if (text == "auto") return Packing{std::nullopt};
  int chips = 0;
  if (!absl::SimpleAtoi(text, &chips) || chips < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--chips-per-rank ", text, ": need a number, at least 1, or auto"));
  }
  return Packing{chips};
}

int ChipsPerRank(const Packing& packing, int chips, int ranks) {
  return packing.chips_per_rank.value_or((chips + ranks - 1) / ranks);
}

std::string DescribePacking(int chips, int chips_per_rank, int cores) {
  return absl::StrCat(chips, " chips in ", (chips + chips_per_rank - 1) / chips_per_rank,
                      " ranks of ", chips_per_rank, ": this host has ", cores, " cores");
}

}  // namespace lockstep
