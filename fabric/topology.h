#pragma once
// Which chips there are, and which port of which chip a cable joins to which other: immutable,
// derived from a TopologySpec by rules, the same on every host.
//
//   chip c  ->  node c / 8  ->  rack node / 9        ids are dense, numbered from 0 in this order
//
//   ports of a chip:  0 1 2 3 4 5 6 | 7 8 9 10 | 11 .. 15
//                         local     |  global  |  not cabled
//
// A cable joins two ports and works both ways; each way is a Link with its own LinkId. So what
// arrives at a port is what the peer of that very port sends.
//
// Wiring inside a fully connected node of n chips: port p of chip i goes to chip (i+p+1) mod n and
// arrives there at port n-2-p. Every chip sees the same picture: a symmetric program sends on port
// p and receives from port n-2-p.
//
// Wiring of a torus: for dimension k in order, first the cables to the chip one further, then
// those to the chip one back (dimension 0 varies fastest; a dimension of size 2 has only the
// former).
//
// Wiring between the u units (nodes of a rack, racks of a system) with c cables a pair: the pair
// (a, b) uses on side a the unit's ports (d-1)*c .. d*c-1, d = (b-a) mod u (the "palm tree":
// every unit sees the same picture). Port i of a unit lies on node i mod n of the unit's n nodes,
// there on chip (i/n) mod 8, so cables of one pair spread over nodes, then chips. The rack level
// takes the lower global ports of a chip, the system level the higher ones.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chip/types.h"
#include "fabric/topology_spec.h"

namespace lockstep {

// One direction of a cable.
struct Link {
  LinkId id;
  ChipId from;
  PortId from_port;
  ChipId to;
  PortId to_port;
  Place place;
  CableKind cable;

  bool operator==(const Link&) const = default;
  std::string ToString() const;  // "link3 chip0.port3 -> chip4.port3 (node)"
};

class Topology {
 public:
  // The topology that `spec` describes; else the error of ValidateSpec. O(chips + links).
  static absl::StatusOr<Topology> Create(TopologySpec spec);

  // The first `chips` chips with the links among them; ports keep their numbers, those whose peer
  // is gone are not cabled. InvalidArgument unless 1 <= chips <= num_chips().
  absl::StatusOr<Topology> Subset(int chips) const;

  const TopologySpec& spec() const { return spec_; }
  const std::string& name() const { return spec_.name; }

  int num_chips() const { return static_cast<int>(first_link_.size()) - 1; }
  int num_nodes() const { return CeilDiv(num_chips(), chips_per_node_); }
  int num_racks() const { return spec_.rack ? CeilDiv(num_chips(), chips_per_rack_) : 0; }
  int num_links() const { return static_cast<int>(links_.size()); }
  int num_cables() const { return num_links() / 2; }

  int chips_per_node() const { return chips_per_node_; }
  NodeId node_of(ChipId chip) const { return NodeId(chip.value() / chips_per_node_); }
  std::optional<RackId> rack_of(ChipId chip) const;  // nothing without a rack rule
  std::vector<ChipId> chips_of(NodeId node) const;   // in order

  // Whether the chip stands in a spare node or rack: cabled, but given no work until one fails.
  bool is_spare(ChipId chip) const;

  // Links are numbered by (from, from_port), so the links of a chip follow each other.
  absl::Span<const Link> links() const { return links_; }
  const Link& link(LinkId id) const;                     // REQUIRES: id < num_links()
  absl::Span<const Link> outgoing(ChipId chip) const;    // in order of ports
  const Link* link_at(ChipId chip, PortId port) const;   // sent by the port; null: not cabled
  const Link* incoming(ChipId chip, PortId port) const;  // received by the port; null: likewise
  const Link& reverse(const Link& link) const;           // same cable, other direction

  std::vector<LinkId> LinksBetween(ChipId from, ChipId to) const;  // in order of ports
  std::vector<ChipId> Neighbors(ChipId chip) const;                // each once, ascending

  // Two topologies are equal when their rules are; everything else follows from them.
  bool operator==(const Topology& other) const { return spec_ == other.spec_; }
  std::string ToString() const;  // the rules, then "; 72 chips, 9 nodes, 1 rack, 792 links"

 private:
  explicit Topology(TopologySpec spec);
  static int CeilDiv(int a, int b) { return (a + b - 1) / b; }

  TopologySpec spec_;
  int chips_per_node_;
  int chips_per_rack_;  // = chips_per_node_ without a rack rule
  std::vector<Link> links_;
  std::vector<uint32_t> first_link_;  // of chip c; [num_chips()] is the end
};

}  // namespace lockstep
