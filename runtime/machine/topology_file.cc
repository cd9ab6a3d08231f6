// Reading topology files. What the text parser (runtime/files/textproto_file.h) accepts is turned
// into our own rules, with the defaults of fabric/topology_spec.h where a field is left out.
#include "runtime/machine/topology_file.h"

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "lockstep/v1/topology.pb.h"
#include "runtime/files/textproto_file.h"

namespace lockstep {
namespace {

constexpr TextprotoKind kKind = {"topology", ""};

void ApplyCable(const v1::Cable& from, CableRule& cable) {
  switch (from.kind()) {
    case v1::Cable::NODE_COPPER:
      cable.kind = CableKind::kNodeCopper;
      break;
    case v1::Cable::QSFP_COPPER:
      cable.kind = CableKind::kQsfpCopper;
      break;
    case v1::Cable::ACTIVE_OPTICAL:
      cable.kind = CableKind::kActiveOptical;
      break;
    default:
      break;  // unspecified: the level's usual kind
  }
  if (from.length_mm() != 0) cable.length_mm = from.length_mm();
  cable.extra_ps_per_m = from.extra_ps_per_m();
}

absl::Status ApplyNode(const v1::Node& from, NodeRule& node) {
  node.chips = from.chips();
  ApplyCable(from.cable(), node.cable);
  const bool torus = from.has_torus() || from.local() == v1::Node::TORUS;
  if (torus && from.local() == v1::Node::FULLY_CONNECTED) {
    return absl::InvalidArgumentError("node.torus is given, but node.local is FULLY_CONNECTED");
  }
  if (!torus && node.chips > 1 && from.local() == v1::Node::LOCAL_UNSPECIFIED) {
    return absl::InvalidArgumentError("node.local is missing: FULLY_CONNECTED or TORUS");
  }
  if (!torus) return absl::OkStatus();
  node.local = LocalWiring::kTorus;
  node.torus_dims.assign(from.torus().dims().begin(), from.torus().dims().end());
  if (from.torus().cables_per_neighbor() != 0) {
    node.cables_per_neighbor = from.torus().cables_per_neighbor();
  }
  return absl::OkStatus();
}

GroupRule ToRack(const v1::Rack& from) {
  GroupRule rule{from.nodes(),
                 from.spare_nodes(),
                 from.cables_per_node_pair(),
                 from.ports_per_chip(),
                 {CableKind::kQsfpCopper, 2'000}};
  ApplyCable(from.cable(), rule.cable);
  return rule;
}

absl::StatusOr<GroupRule> ToSystem(const v1::System& from, bool has_rack) {
  const bool says_nodes =
      from.nodes() != 0 || from.spare_nodes() != 0 || from.cables_per_node_pair() != 0;
  const bool says_racks =
      from.racks() != 0 || from.spare_racks() != 0 || from.cables_per_rack_pair() != 0;
  if (has_rack && says_nodes) {
    return absl::InvalidArgumentError("system.nodes with a rack rule: say system.racks");
  }
  if (!has_rack && says_racks) {
    return absl::InvalidArgumentError("system.racks without a rack rule: say system.nodes");
  }
  GroupRule rule{has_rack ? from.racks() : from.nodes(),
                 has_rack ? from.spare_racks() : from.spare_nodes(),
                 has_rack ? from.cables_per_rack_pair() : from.cables_per_node_pair(),
                 from.ports_per_chip(),
                 {CableKind::kActiveOptical, 20'000}};
  ApplyCable(from.cable(), rule.cable);
  return rule;
}

absl::StatusOr<TopologySpec> ToSpec(const v1::Topology& from) {
  TopologySpec spec;
  spec.name = from.name();
  if (from.has_chip()) spec.chip = {from.chip().local_ports(), from.chip().global_ports()};
  if (from.has_link()) spec.link = {from.link().lanes(), from.link().lane_mbit_per_s()};
  RETURN_IF_ERROR(ApplyNode(from.node(), spec.node));
  if (from.has_rack()) spec.rack = ToRack(from.rack());
  if (from.has_system()) {
    ASSIGN_OR_RETURN(spec.system, ToSystem(from.system(), from.has_rack()));
  }
  RETURN_IF_ERROR(ValidateSpec(spec));
  return spec;
}

}  // namespace

absl::StatusOr<TopologySpec> ParseTopology(absl::string_view text, absl::string_view file) {
  v1::Topology message;
  RETURN_IF_ERROR(ParseTextproto(text, file, kKind, message));
  absl::StatusOr<TopologySpec> spec = ToSpec(message);
  if (spec.ok()) return spec;
  return absl::Status(spec.status().code(), absl::StrCat(file, ": ", spec.status().message()));
}

std::vector<std::string> KnownTopologies(const std::string& search_dir) {
  return KnownTextprotos(search_dir, kKind);
}

absl::StatusOr<TopologySpec> LoadTopology(const std::string& name_or_path,
                                          const std::string& search_dir) {
  ASSIGN_OR_RETURN(const TextprotoFile file, ReadTextproto(name_or_path, search_dir, kKind));
  return ParseTopology(file.text, file.path);
}

}  // namespace lockstep
