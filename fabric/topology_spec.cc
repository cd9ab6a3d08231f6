// Limits of the rules of a topology. Every product is formed in 64 bits and checked before anything
// is allocated from it, so a hostile file costs nothing.
#include "fabric/topology_spec.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "chip/check.h"

namespace lockstep {
namespace {

constexpr int kMaxLanes = 16;
constexpr int kMaxLaneMbit = 1'000'000;
constexpr int kMaxLengthMm = 1'000'000;  // 1 km
constexpr int kMaxPsPerM = 1'000'000;
constexpr int kMaxCablesPerPair = kPortsPerChip * kMaxChips;
constexpr size_t kMaxNameLength = 64;

absl::Status InRange(const char* field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, ", allowed: ", low, " to ", high));
}

absl::Status CheckName(const std::string& name) {
  if (name.empty()) return absl::InvalidArgumentError("name is empty");
  const bool well_formed =
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string::npos;
  if (name.size() <= kMaxNameLength && well_formed) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("name of ", name.size(),
                                                 " characters: allowed are 1 to ", kMaxNameLength,
                                                 " of a-z 0-9 - _ ."));
}

absl::Status CheckCable(const std::string& owner, const CableRule& cable) {
  const std::string prefix = owner + ".cable.";
  RETURN_IF_ERROR(InRange((prefix + "length_mm").c_str(), cable.length_mm, 0, kMaxLengthMm));
  return InRange((prefix + "extra_ps_per_m").c_str(), cable.extra_ps_per_m, 0, kMaxPsPerM);
}

// Local ports that the rule takes of every chip. A torus dimension of size 2 has one neighbour.
int64_t LocalPortsNeeded(const NodeRule& node) {
  if (node.local == LocalWiring::kFullyConnected) return node.chips - 1;
  int64_t ports = 0;
  for (int dim : node.torus_dims) ports += dim == 2 ? 1 : 2;
  return ports * node.cables_per_neighbor;
}

absl::Status CheckTorus(const NodeRule& node) {
  RETURN_IF_ERROR(InRange("number of node.torus.dims", static_cast<int64_t>(node.torus_dims.size()),
                          1, kPortsPerChip));
  RETURN_IF_ERROR(
      InRange("node.torus.cables_per_neighbor", node.cables_per_neighbor, 1, kPortsPerChip));
  int64_t product = 1;
  for (int dim : node.torus_dims) {
    RETURN_IF_ERROR(InRange("node.torus.dims", dim, 2, kMaxChips));
    product *= dim;
    RETURN_IF_ERROR(InRange("product of node.torus.dims", product, 2, kMaxChips));
  }
  if (product == node.chips) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("node.chips is ", node.chips, ", but node.torus.dims multiply to ", product));
}

absl::Status CheckNode(const TopologySpec& spec) {
  const NodeRule& node = spec.node;
  RETURN_IF_ERROR(InRange("node.chips", node.chips, 1, kMaxChips));
  RETURN_IF_ERROR(CheckCable("node", node.cable));
  if (node.local == LocalWiring::kTorus) {
    RETURN_IF_ERROR(CheckTorus(node));
  } else if (!node.torus_dims.empty() || node.cables_per_neighbor != 1) {
    return absl::InvalidArgumentError("node.torus is given, but node.local is FULLY_CONNECTED");
  }
  const int64_t needed = LocalPortsNeeded(node);
  if (needed <= spec.chip.local_ports) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("node.chips is ", node.chips, " and needs ", needed,
                   " local ports a chip, chip.local_ports is ", spec.chip.local_ports));
}

// Names of one level's fields, as a file writes them.
struct LevelNames {
  const char* level;
  const char* units;
  const char* spare;
  const char* cables;
};

absl::Status CheckGroup(const LevelNames& names, const GroupRule& group, int64_t unit_chips) {
  RETURN_IF_ERROR(InRange(names.units, group.units, 1, kMaxChips));
  RETURN_IF_ERROR(InRange((std::string(names.level) + ".ports_per_chip").c_str(),
                          group.ports_per_chip, 0, kPortsPerChip));
  if (group.spare_units < 0 || group.spare_units >= group.units) {
    return absl::InvalidArgumentError(absl::StrCat(names.spare, " is ", group.spare_units,
                                                   ", must be 0 or more and less than ",
                                                   names.units, " = ", group.units));
  }
  RETURN_IF_ERROR(
      InRange(names.cables, group.cables_per_pair, group.units > 1 ? 1 : 0, kMaxCablesPerPair));
  RETURN_IF_ERROR(CheckCable(names.level, group.cable));
  if (group.units * unit_chips > kMaxChips) {
    return absl::InvalidArgumentError(
        absl::StrCat(names.units, " is ", group.units, " of ", unit_chips,
                     " chips each: ", group.units * unit_chips, " chips, at most ", kMaxChips));
  }
  const int64_t needed = int64_t{group.units - 1} * group.cables_per_pair;
  const int64_t present = unit_chips * group.ports_per_chip;
  if (needed <= present) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      names.units, " is ", group.units, " and ", names.cables, " is ", group.cables_per_pair,
      ": each needs ", needed, " ports, but ", unit_chips, " chips x ", names.level,
      ".ports_per_chip ", group.ports_per_chip, " = ", present));
}

absl::Status CheckGroups(const TopologySpec& spec) {
  int64_t unit_chips = spec.node.chips;
  int64_t ports_per_chip = 0;
  if (spec.rack) {
    RETURN_IF_ERROR(
        CheckGroup({"rack", "rack.nodes", "rack.spare_nodes", "rack.cables_per_node_pair"},
                   *spec.rack, unit_chips));
    unit_chips *= spec.rack->units;
    ports_per_chip += spec.rack->ports_per_chip;
  }
  if (spec.system) {
    const LevelNames names = spec.rack ? LevelNames{"system", "system.racks", "system.spare_racks",
                                                    "system.cables_per_rack_pair"}
                                       : LevelNames{"system", "system.nodes", "system.spare_nodes",
                                                    "system.cables_per_node_pair"};
    RETURN_IF_ERROR(CheckGroup(names, *spec.system, unit_chips));
    ports_per_chip += spec.system->ports_per_chip;
  }
  if (ports_per_chip <= spec.chip.global_ports) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("rack.ports_per_chip + system.ports_per_chip is ",
                                                 ports_per_chip, ", chip.global_ports is ",
                                                 spec.chip.global_ports));
}

absl::Status CheckAll(const TopologySpec& spec) {
  RETURN_IF_ERROR(CheckName(spec.name));
  RETURN_IF_ERROR(InRange("chip.local_ports", spec.chip.local_ports, 0, kPortsPerChip));
  RETURN_IF_ERROR(InRange("chip.global_ports", spec.chip.global_ports, 0, kPortsPerChip));
  RETURN_IF_ERROR(InRange("chip.local_ports + chip.global_ports",
                          spec.chip.local_ports + spec.chip.global_ports, 0, kPortsPerChip));
  RETURN_IF_ERROR(InRange("link.lanes", spec.link.lanes, 1, kMaxLanes));
  RETURN_IF_ERROR(InRange("link.lane_mbit_per_s", spec.link.lane_mbit_per_s, 1, kMaxLaneMbit));
  RETURN_IF_ERROR(CheckNode(spec));
  RETURN_IF_ERROR(CheckGroups(spec));
  if (!spec.first_chips) return absl::OkStatus();
  return InRange("number of chips asked for", *spec.first_chips, 1, spec.ChipCount());
}

std::string GroupText(const char* level, const char* units, const GroupRule& group) {
  std::string spare = group.spare_units > 0 ? absl::StrCat(" (", group.spare_units, " spare)") : "";
  return absl::StrCat("; ", level, " of ", group.units, " ", units, spare, " x ",
                      group.cables_per_pair, group.cables_per_pair == 1 ? " cable" : " cables");
}

}  // namespace

const char* PlaceName(Place place) {
  switch (place) {
    case Place::kNode:
      return "node";
    case Place::kRack:
      return "rack";
    case Place::kSystem:
      return "system";
  }
  return "?";
}

const char* CableKindName(CableKind kind) {
  switch (kind) {
    case CableKind::kNodeCopper:
      return "node copper";
    case CableKind::kQsfpCopper:
      return "QSFP copper";
    case CableKind::kActiveOptical:
      return "active optical";
  }
  return "?";
}

int TopologySpec::ChipCount() const {
  return node.chips * (rack ? rack->units : 1) * (system ? system->units : 1);
}

std::string TopologySpec::ToString() const {
  std::string text =
      absl::StrCat(name, ": ", node.chips, node.chips == 1 ? " chip" : " chips", " a node");
  if (node.local == LocalWiring::kTorus) {
    absl::StrAppend(&text, " TORUS [", absl::StrJoin(node.torus_dims, ", "), "]");
  } else if (node.chips > 1) {
    absl::StrAppend(&text, " FULLY_CONNECTED");
  }
  if (rack) absl::StrAppend(&text, GroupText("rack", "nodes", *rack));
  if (system) absl::StrAppend(&text, GroupText("system", rack ? "racks" : "nodes", *system));
  if (first_chips) absl::StrAppend(&text, "; first ", *first_chips, " chips only");
  return text;
}

absl::Status ValidateSpec(const TopologySpec& spec) {
  absl::Status status = CheckAll(spec);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(
      "topology ", absl::CEscape(spec.name.substr(0, kMaxNameLength)), ": ", status.message()));
}

TopologySpec WithOffNodeCableDelay(TopologySpec spec, int ps_per_m) {
  if (spec.rack) spec.rack->cable.extra_ps_per_m = ps_per_m;
  if (spec.system) spec.system->cable.extra_ps_per_m = ps_per_m;
  return spec;
}

}  // namespace lockstep
