#pragma once
// Programs of publications for which no figure is at hand to judge by: what came out, nothing
// fitted. What has a figure is in runtime/validation/validate.h.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/latency.h"

namespace lockstep {

struct PublicationRow {
  std::string what;
  int chips = 1;
  int64_t cycles = 0;  // 0: it was not run, and the note says why
  double utilisation =
      0;  // useful multiply-adds over the fp16 peak of those chips in that time, in %
  std::string note;
};

// All on the timing engine: the distributed product of ISCA'22 5.4 on as many chips as its layout
// allows, up to 104, all chips of all nodes verified and run; an LSTM step on one chip.
absl::StatusOr<std::vector<PublicationRow>> RunPublications(const std::string& topology_dir,
                                                            const ChipTiming& timing);
std::string PublicationTable(const std::vector<PublicationRow>& rows);

}  // namespace lockstep
