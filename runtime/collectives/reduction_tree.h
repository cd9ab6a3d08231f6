#pragma once
// For each chip as root a tree that spans all chips of a topology: who passes a sum on to whom.
// Sums flow to the root, results flow back from it over the same cables.
//
//   in a node      the cable to the root, or the best route in a torus
//   in a rack      every node hands one sum over to the root's node: over one cable of the pair
//   in a system    every rack (or node) hands one sum over to the root's: likewise
//
//   chip -> gateway -> [rack cable] -> gateway -> [system cable] -> ... -> root
//
// So each long cable carries a word once, whatever the number of chips behind it. Of parallel
// cables `spread` picks one; trees of one root with different spreads use different cables.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/topology.h"

namespace lockstep {

class ReductionTrees {
 public:
  // `topology` must outlive this. NotFound: two units that have no cable between them although they
  // are on one level (possible where only the first chips of a topology are kept).
  static absl::StatusOr<ReductionTrees> Create(const Topology& topology);

  // The link over which `chip` passes on what is meant for `root`. Depends on these three alone.
  // REQUIRES: chip != root, both of the topology.
  const Link& Next(ChipId chip, ChipId root, uint32_t spread) const;

  // Which unit of a level the chip is in: 0 its node, 1 its rack (its node where there are none).
  uint32_t UnitOf(ChipId chip, int level) const;
  // The cables from one unit to another of that level, in order of links; empty: they have none.
  absl::Span<const uint32_t> Cables(int level, uint32_t from, uint32_t to) const;

 private:
  explicit ReductionTrees(const Topology& topology) : topology_(&topology) {}

  // Cables that leave a unit for another one of its group, sorted by key.
  struct Level {
    std::vector<uint64_t> keys;   // from << 32 | to, ascending, each once
    std::vector<uint32_t> first;  // of keys[i]; one more than keys
    std::vector<uint32_t> links;  // LinkId values
  };
  absl::Status Index(int level, Place place);
  const Link& NextInNode(ChipId chip, ChipId root, uint32_t spread) const;

  const Topology* topology_;
  Level levels_[2];  // between nodes of a rack; between racks, or nodes without racks
};

}  // namespace lockstep
