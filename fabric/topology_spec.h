#pragma once
// The rules of a topology, with units: what topologies/*.textproto says, as plain values.
//
// A spec is small whatever it describes; Topology (fabric/topology.h) derives chips and links from
// it. Defaults are the GroqChip 1 of the published systems: 7 local + 4 global of 16 ports cabled
// (ISCA'22 section 2.2), 4 lanes at 25 Gbit/s (section 2.3), cables of section 2.3.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace lockstep {

inline constexpr int kMaxChips = 1 << 16;
inline constexpr int kPortsPerChip = 16;

// Where both ends of a cable lie together.
enum class Place : uint8_t { kNode, kRack, kSystem };
enum class CableKind : uint8_t { kNodeCopper, kQsfpCopper, kActiveOptical };
enum class LocalWiring : uint8_t { kFullyConnected, kTorus };

// "node", "rack", "system"; "node copper", "QSFP copper", "active optical".
const char* PlaceName(Place place);
const char* CableKindName(CableKind kind);

struct CableRule {
  CableKind kind;
  int length_mm;
  int extra_ps_per_m = 0;  // added to the link's flight time; an assumption, off unless stated
  bool operator==(const CableRule&) const = default;
  int64_t ExtraDelayPs() const { return int64_t{length_mm} * extra_ps_per_m / 1000; }
};

struct ChipRule {
  int local_ports = 7;   // ports 0 .. local_ports-1
  int global_ports = 4;  // ports local_ports .. local_ports+global_ports-1
  bool operator==(const ChipRule&) const = default;
};

struct LinkRule {
  int lanes = 4;
  int lane_mbit_per_s = 25'000;
  bool operator==(const LinkRule&) const = default;
  // Raw rate of one direction in 10^6 byte/s: 12500 for 4 x 25 Gbit/s.
  int64_t MegabytesPerSecond() const { return int64_t{lanes} * lane_mbit_per_s / 8; }
};

struct NodeRule {
  int chips = 0;
  LocalWiring local = LocalWiring::kFullyConnected;
  std::vector<int> torus_dims = {};  // kTorus only; {4} is a ring of four
  int cables_per_neighbor = 1;       // kTorus only
  CableRule cable = {CableKind::kNodeCopper, 750};
  bool operator==(const NodeRule&) const = default;
};

// Units (nodes of a rack, racks of a system), every pair joined by the same number of cables.
struct GroupRule {
  int units = 0;
  int spare_units = 0;  // the last ones; cabled like all others
  int cables_per_pair = 0;
  int ports_per_chip = 0;  // of ChipRule::global_ports, kept for this level
  CableRule cable;
  bool operator==(const GroupRule&) const = default;
};

struct TopologySpec {
  std::string name;
  ChipRule chip = {};
  LinkRule link = {};
  NodeRule node = {};
  std::optional<GroupRule> rack = {};    // units are nodes
  std::optional<GroupRule> system = {};  // units are racks, or nodes when there is no rack rule
  std::optional<int> first_chips = {};   // keep only chips 0 .. first_chips-1 (Topology::Subset)

  bool operator==(const TopologySpec&) const = default;
  // One line: "groqrack: 8 chips a node FULLY_CONNECTED; rack of 9 nodes (1 spare) x 4 cables".
  std::string ToString() const;

  // Chips of the whole rule, before first_chips cuts it. REQUIRES: ValidateSpec(*this).ok().
  int ChipCount() const;
};

// OK, or InvalidArgument naming the topology, the field as written in a file, its value and what
// is allowed. Bounds every count, so that a valid spec has at most kMaxChips chips.
absl::Status ValidateSpec(const TopologySpec& spec);

// The same rules with `ps_per_m` of extra delay on every cable that leaves a node (the published
// flight time was measured on in-node cables only). 5000 is the usual 5 ns/m.
TopologySpec WithOffNodeCableDelay(TopologySpec spec, int ps_per_m);

}  // namespace lockstep
