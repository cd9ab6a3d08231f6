#pragma once
// Ways from chips of one node to chips of another over third chips, for transfers that no cable
// carries directly.
//
//   from            third chips          to
//   chip 0 ----> chip 2 ====> chip 12 ----> chip 8       each third chip passes on for one way only
//   chip 1 ----> chip 3 ====> chip 13 ----> chip 9
//
// No way comes through a chip of `from` or `to`. Best first: over the fewest spare chips, then the
// fewest links, then the fewest chips that have work of their own, then the fewest cables between
// racks; of equals by rule (chips and ports ascending), so the same on every host.

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "chip/types.h"
#include "fabric/routes.h"
#include "fabric/topology.h"

namespace lockstep {

// Whether a chip may pass on what is not for it.
enum class Passage : uint8_t {
  kFree,    // nothing else to do
  kBusy,    // has work of its own
  kSpare,   // kept free as long as there is another way
  kClosed,  // never
};

// At most `most` ways of at least two links; no two share a third chip or end at one chip.
// passage: by chip of the topology. Fewer, or none, where there are no more.
// O(links x log chips) a way at most; it looks no further than the way is long.
std::vector<Path> FindDetours(const Topology& topology, absl::Span<const ChipId> from,
                              absl::Span<const ChipId> to, std::vector<Passage> passage, int most);

}  // namespace lockstep
