// V15 to V18: what can be counted on the wiring.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "fabric/topology_stats.h"
#include "runtime/machine/topology_file.h"
#include "runtime/validation/validate_figures.h"

namespace lockstep {
namespace {

absl::StatusOr<Topology> Load(const char* name, const ValidationOptions& options) {
  ASSIGN_OR_RETURN(TopologySpec spec, LoadTopology(name, options.topology_dir));
  return Topology::Create(std::move(spec));
}

ValidationRow Exact(const char* id, const std::string& what, int64_t published, const char* unit,
                    int64_t measured, const char* origin, std::string note = "") {
  const double value = static_cast<double>(published);
  return Judge({id, FigureClass::kExact, what, absl::StrCat(published, " ", unit), unit, value,
                value, "exact", origin},
               static_cast<double>(measured), std::move(note));
}

int PortsOff(const Topology& topology, Place at_least, int chips) {
  int ports = 0;
  for (const Link& link : topology.links()) {
    ports += static_cast<int>(link.from.value()) < chips && link.place >= at_least ? 1 : 0;
  }
  return ports;
}

}  // namespace

absl::StatusOr<Rows> ValidateHops(const ValidationOptions& options) {
  const char* origin = "ISCA'22 2.2";
  ASSIGN_OR_RETURN(const Topology node, Load("groqnode", options));
  ASSIGN_OR_RETURN(const Topology mid, Load("dragonfly-264", options));
  ASSIGN_OR_RETURN(const Topology large, Load("dragonfly-10440", options));
  const HopCounts hops = CountHops(large);
  const int rack_ports = PortsOff(large, Place::kSystem, 72);
  const int node_ports = PortsOff(mid, Place::kRack, 8);
  const int in_rack = PortsOff(large, Place::kRack, 72) - rack_ports;
  const char* chips = "chips, by links";
  return Rows{
      Exact("V15", absl::StrCat("diameter of 8 ", chips), 1, "hops", CountHops(node).chip_diameter,
            origin),
      Exact("V15", absl::StrCat("diameter of 264 ", chips), 3, "hops", CountHops(mid).chip_diameter,
            origin),
      Exact("V15", "chips of the largest system", 10'440, "chips", large.num_chips(), origin),
      Exact("V15", "diameter of 10440 chips, nearest chips of two nodes", 5, "hops",
            hops.node_to_node, origin),
      OrContradiction(Exact("V15", absl::StrCat("diameter of 10440 ", chips), 5, "hops",
                            hops.chip_diameter, origin,
                            "the published 5 holds between nodes; with 7 + 2 + 2 links a chip and "
                            "one cable a pair of racks some chips are 7 links apart")),
      Exact("V15", "ports that leave a node", 32, "ports", node_ports, origin),
      Exact("V15", "ports that leave the nodes of a rack", 288, "ports", rack_ports + in_rack,
            origin, absl::StrCat(in_rack, " inside the rack, ", rack_ports, " to other racks")),
      Exact("V15", "cables between the nodes of a rack", 72, "cables", in_rack / 2, origin,
            "36 pairs of nodes x 2")};
}

absl::StatusOr<Rows> ValidateCables(const ValidationOptions& options) {
  ASSIGN_OR_RETURN(const Topology large, Load("dragonfly-10440", options));
  const NodeCables cables = ComputeStats(large).node_cables;
  const char* origin = "ISCA'22 2.3";
  return Rows{Exact("V16", "cables inside a node", 28, "cables", cables.internal, origin),
              Exact("V16", "cables of a node", 60, "cables", cables.total(), origin),
              Exact("V16", "electrical cables of a node", 44, "cables", cables.electrical, origin,
                    absl::StrFormat("%.1f %%", 100.0 * cables.electrical / cables.total()))};
}

absl::StatusOr<Rows> ValidateBandwidth(const ValidationOptions& options) {
  Rows rows;
  const struct {
    const char* name;
    const char* published;
    double exact;
  } figures[] = {{"dragonfly-264", "50 GB/s", 50.0}, {"dragonfly-10440", "14 GB/s", 14.0625}};
  for (const auto& f : figures) {
    ASSIGN_OR_RETURN(const Topology topology, Load(f.name, options));
    const UniformTraffic traffic = ComputeUniformTraffic(topology);
    rows.push_back(Judge(
        {"V17", FigureClass::kAnalytic,
         absl::StrCat("global bandwidth of a chip, ", topology.num_chips(), " chips"), f.published,
         "GB/s", f.exact * 0.98, f.exact * 1.02, "2 %", "ISCA'22 1, Fig. 2"},
        traffic.mb_per_s_per_chip / 1000,
        absl::StrCat("flow level, minimal routes; full first: ", PlaceName(traffic.bottleneck),
                     " links")));
  }
  return rows;
}

absl::StatusOr<Rows> ValidateBisection(const ValidationOptions& options) {
  ASSIGN_OR_RETURN(const Topology rack, Load("groqrack", options));
  const std::optional<RackBandwidth> b = ComputeRackBandwidth(rack);
  LOCKSTEP_CHECK(b.has_value(), "a rack without a rack rule");
  const auto figure = [](const char* what, const char* published, double value,
                         const char* origin) {
    return Figure{"V18",        FigureClass::kAnalytic, what,  published, "TB/s",
                  value * 0.99, value * 1.01,           "1 %", origin};
  };
  const auto tera = [](int64_t mb_per_s) { return static_cast<double>(mb_per_s) / 1e6; };
  return Rows{
      Judge(figure("rack, sum of the ports of 64 chips", "3.2 TB/s", 3.2, "GroqRack sheet 1.0"),
            tera(b->working_off_node_mb_per_s)),
      Judge(figure("rack, sum of all 288 ports", "3.6 TB/s", 3.6, "SC'21 exforum112"),
            tera(b->off_node_mb_per_s)),
      OrContradiction(
          Judge(figure("rack, narrowest cut into halves, each way", "3.2 TB/s as \"bisection\"",
                       3.2, "GroqRack sheet 1.0"),
                tera(b->half_cut_mb_per_s),
                "the published bisection is the port sum above; no cut of the wiring carries it"))};
}

}  // namespace lockstep
