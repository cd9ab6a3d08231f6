#pragma once
// What can be counted on a topology before anything runs: cables, hops, bandwidth. All of it is
// found by walking the links, none is quoted. Doubles are for reports only.

#include <cstdint>
#include <optional>
#include <vector>

#include "chip/types.h"
#include "fabric/hops.h"
#include "fabric/topology.h"

namespace lockstep {

struct CableCount {
  Place place;
  CableKind kind;
  int length_mm;
  int cables;
};

// Cables seen from node 0: inside it, and the ends of those that leave it.
struct NodeCables {
  int internal = 0;    // 28 in a node of 8
  int to_rack = 0;     // ports to other nodes of the rack
  int to_system = 0;   // ports to other racks (or nodes, without racks)
  int electrical = 0;  // of all these, not optical: "44 of 60"
  int total() const { return internal + to_rack + to_system; }
};

// Rack 0, in 10^6 byte/s, one direction. The published "bisection" of 3.2 TB/s is the port sum of
// the 8 working nodes; a real cut of them carries less, so both are here.
struct RackBandwidth {
  int64_t off_node_mb_per_s = 0;          // all global ports in use, spare nodes too
  int64_t working_off_node_mb_per_s = 0;  // without spare nodes: the published "bisection"
  int64_t half_cut_mb_per_s = 0;          // least over all halvings of the working nodes
  int halvings_tried = 0;
};

// Rate at which every chip can send to every chip outside its own unit of the topmost level (rack;
// node if there is one rack; chip if there is one node), all at once and equally, when the most
// loaded link is full. Flow level: each pair's flow is split evenly over its minimal routes
// (RouteRule::kFewestLongCables), a link carries its raw rate, spares send too.
struct UniformTraffic {
  double mb_per_s_per_chip = 0;
  Place bottleneck = Place::kNode;  // of the most loaded link
  int64_t destinations = 0;         // chips outside the own unit
};

struct TopologyStats {
  int chips = 0, working_chips = 0, nodes = 0, racks = 0, links = 0, cables = 0;
  std::vector<CableCount> cable_counts;  // by place
  NodeCables node_cables;
  HopCounts hops;
  int64_t link_mb_per_s = 0;
  int64_t local_mb_per_s_per_chip = 0;   // sum over the links of chip 0 inside its node
  int64_t global_mb_per_s_per_chip = 0;  // and over those that leave it
  UniformTraffic uniform;
  std::optional<RackBandwidth> rack;  // with a rack rule only
};

// O(views x links x log chips), views as in fabric/hops.h.
TopologyStats ComputeStats(const Topology& topology);

UniformTraffic ComputeUniformTraffic(const Topology& topology);
std::optional<RackBandwidth> ComputeRackBandwidth(const Topology& topology);

}  // namespace lockstep
