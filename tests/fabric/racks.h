#pragma once
// Topologies of racks, for tests of what spans them.

#include "fabric/topology.h"

namespace lockstep {

// Racks of 9 nodes (the last one spare), `racks` of them; one rack stands alone with 4 cables a
// pair.
inline Topology Racks(int racks, int cables_per_rack_pair) {
  TopologySpec spec;
  spec.name = "racks";
  spec.node.chips = 8;
  const CableRule cable{CableKind::kQsfpCopper, 2000};
  spec.rack = GroupRule{9, 1, racks > 1 ? 2 : 4, racks > 1 ? 2 : 4, cable};
  if (racks > 1) spec.system = GroupRule{racks, 0, cables_per_rack_pair, 2, cable};
  return *Topology::Create(spec);
}

}  // namespace lockstep
