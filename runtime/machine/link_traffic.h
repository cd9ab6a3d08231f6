#pragma once
// How many vectors each link carries: what `--links FILE` writes, a line a cabled link.

#include <cstdint>
#include <string>
#include <vector>

#include "fabric/wiring.h"

namespace lockstep {

struct LinkTraffic {
  uint32_t from = 0;  // chip
  int32_t port = 0;   // its end
  uint32_t to = 0;
  int64_t vectors = 0;
  bool operator==(const LinkTraffic&) const = default;
};

// `from,port,to,vectors,busy_share` and a line a wire, by chip, then port; those that `traffic` does
// not name carry nothing. busy_share: of `cycles`, four decimals. REQUIRES: cycles > 0, each of
// `traffic` a wire, at most once.
std::string LinkTrafficCsv(const Wiring& wiring, const std::vector<LinkTraffic>& traffic,
                           int64_t cycles);

}  // namespace lockstep
