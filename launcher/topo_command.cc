// Prints the statistics of fabric/topology_stats.h with their units.
#include "launcher/topo_command.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "fabric/counted.h"
#include "launcher/paths.h"
#include "runtime/files/table_row.h"
#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

std::string GigabytesPerSecond(double mb_per_s) {
  return absl::StrFormat("%.2f GB/s", mb_per_s / 1e3);
}

std::string TerabytesPerSecond(int64_t mb_per_s) {
  return absl::StrFormat("%.2f TB/s", static_cast<double>(mb_per_s) / 1e6);
}

// Whom the uniform traffic of this topology goes to.
const char* TrafficScope(const TopologySpec& spec) {
  if (spec.system && spec.rack) return "chips of other racks";
  return spec.system || spec.rack ? "chips of other nodes" : "other chips";
}

std::string CableRows(const TopologyStats& stats) {
  std::string rows =
      Row("cables", absl::StrCat(stats.cables, " (", stats.links, " links, one each way)"));
  for (const CableCount& count : stats.cable_counts) {
    rows +=
        Row("", absl::StrFormat("%d within a %s: %s, %.2f m", count.cables, PlaceName(count.place),
                                CableKindName(count.kind), count.length_mm / 1e3));
  }
  const NodeCables& node = stats.node_cables;
  if (node.total() == 0) return rows;
  return rows + Row("cables of a node",
                    absl::StrFormat("%d = %d inside + %d to its rack + %d beyond; %d electrical "
                                    "(%.1f %%)",
                                    node.total(), node.internal, node.to_rack, node.to_system,
                                    node.electrical, 100.0 * node.electrical / node.total()));
}

std::string HopRows(const HopCounts& hops) {
  std::string rows = Row("diameter, chips", absl::StrCat(hops.chip_diameter, " hops, e.g. ",
                                                         hops.farthest.first.ToString(), " to ",
                                                         hops.farthest.second.ToString()));
  rows += Row("diameter, nodes", absl::StrCat(hops.node_to_node,
                                              " hops between the nearest chips "
                                              "of two nodes; ",
                                              hops.node_graph, " cables between nodes"));
  rows += Row("mean distance", absl::StrFormat("%.3f hops", hops.MeanHops()));
  if (hops.pairs_without_route > 0) {
    rows += Row("not connected", absl::StrCat(hops.pairs_without_route, " ordered chip pairs"));
  }
  return rows;
}

std::string BandwidthRows(const Topology& topology, const TopologyStats& stats) {
  std::string rows =
      Row("link", GigabytesPerSecond(static_cast<double>(stats.link_mb_per_s)) + " each way, raw");
  rows += Row("chip, sum of links",
              absl::StrCat(GigabytesPerSecond(static_cast<double>(stats.local_mb_per_s_per_chip)),
                           " in the node + ",
                           GigabytesPerSecond(static_cast<double>(stats.global_mb_per_s_per_chip)),
                           " beyond, each way"));
  if (stats.uniform.mb_per_s_per_chip > 0) {
    rows += Row("chip, all-to-all",
                absl::StrCat(GigabytesPerSecond(stats.uniform.mb_per_s_per_chip), " to the ",
                             stats.uniform.destinations, " ", TrafficScope(topology.spec()),
                             "; limited by ", PlaceName(stats.uniform.bottleneck), " links"));
  }
  if (!stats.rack) return rows;
  rows += Row("rack, port sum",
              absl::StrCat(TerabytesPerSecond(stats.rack->off_node_mb_per_s), " off all nodes, ",
                           TerabytesPerSecond(stats.rack->working_off_node_mb_per_s),
                           " off the working ones (the published \"bisection\")"));
  return rows +
         Row("rack, half cut",
             absl::StrCat(TerabytesPerSecond(stats.rack->half_cut_mb_per_s), " each way, least of ",
                          stats.rack->halvings_tried, " ways to halve the working nodes"));
}

absl::Status RunTopo(const std::string& name, const std::string& dir_flag, bool json) {
  ASSIGN_OR_RETURN(TopologySpec spec, LoadTopology(name, TopologyDir(dir_flag)));
  ASSIGN_OR_RETURN(const Topology topology, Topology::Create(std::move(spec)));
  const TopologyStats stats = ComputeStats(topology);
  std::cout << (json ? TopoJson(topology, stats) : TopoTable(topology, stats)) << std::flush;
  return std::cout ? absl::OkStatus() : absl::DataLossError("cannot write to standard output");
}

}  // namespace

std::string TopoTable(const Topology& topology, const TopologyStats& stats) {
  std::string table = absl::StrCat(topology.spec().ToString(), "\n");
  table +=
      Row("chips", absl::StrCat(stats.chips, ", ", stats.working_chips, " without the spare ones"));
  table += Row("nodes, racks",
               absl::StrCat(Counted(stats.nodes, "node"), ", ", Counted(stats.racks, "rack")));
  return table + CableRows(stats) + HopRows(stats.hops) + BandwidthRows(topology, stats);
}

std::string TopoJson(const Topology& topology, const TopologyStats& stats) {
  using Json = nlohmann::ordered_json;
  Json cables = Json::array();
  for (const CableCount& count : stats.cable_counts) {
    cables.push_back({{"place", PlaceName(count.place)},
                      {"kind", CableKindName(count.kind)},
                      {"length_mm", count.length_mm},
                      {"cables", count.cables}});
  }
  const NodeCables& node = stats.node_cables;
  Json json = {
      {"name", topology.name()},
      {"chips", stats.chips},
      {"working_chips", stats.working_chips},
      {"nodes", stats.nodes},
      {"racks", stats.racks},
      {"links", stats.links},
      {"cables", stats.cables},
      {"cables_by_place", cables},
      {"cables_per_node",
       {{"total", node.total()},
        {"internal", node.internal},
        {"to_rack", node.to_rack},
        {"to_system", node.to_system},
        {"electrical", node.electrical}}},
      {"chip_diameter_hops", stats.hops.chip_diameter},
      {"node_to_node_hops", stats.hops.node_to_node},
      {"node_graph_hops", stats.hops.node_graph},
      {"farthest_chips", {stats.hops.farthest.first.value(), stats.hops.farthest.second.value()}},
      {"mean_hops", stats.hops.MeanHops()},
      {"chip_pairs_by_hops", stats.hops.pairs_at},
      {"chip_pairs_without_route", stats.hops.pairs_without_route},
      {"link_mb_per_s", stats.link_mb_per_s},
      {"local_mb_per_s_per_chip", stats.local_mb_per_s_per_chip},
      {"global_mb_per_s_per_chip", stats.global_mb_per_s_per_chip},
      {"uniform_mb_per_s_per_chip", stats.uniform.mb_per_s_per_chip},
      {"uniform_destinations", stats.uniform.destinations},
      {"uniform_bottleneck", PlaceName(stats.uniform.bottleneck)}};
  if (stats.rack) {
    json["rack"] = {{"off_node_mb_per_s", stats.rack->off_node_mb_per_s},
                    {"working_off_node_mb_per_s", stats.rack->working_off_node_mb_per_s},
                    {"half_cut_mb_per_s", stats.rack->half_cut_mb_per_s}};
  }
  return json.dump(2) + "\n";
}

void AddTopoCommand(CLI::App& app, absl::Status* result) {
  struct Options {
    std::string name, dir;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* topo = app.add_subcommand("topo", "Show what a topology consists of and can carry");
  topo->add_option("topology", options->name, "Name, or path of a .textproto file")->required();
  topo->add_flag("--json", options->json, "Print JSON instead of a table");
  topo->add_option("--topology-dir", options->dir,
                   "Folder of <name>.textproto files (else $LOCKSTEP_TOPOLOGY_DIR, else the one "
                   "that comes with lockstep)");
  topo->callback(
      [options, result] { *result = RunTopo(options->name, options->dir, options->json); });
}

}  // namespace lockstep
