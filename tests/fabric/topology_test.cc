// Topologies: the wiring of a node, the published counts (V15-V18), rules that must be refused.
// Expected hop counts come from a slow all-pairs search written here, not from fabric/hops.
#include "fabric/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <set>

#include "fabric/topology_stats.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const CableRule kCopper{CableKind::kQsfpCopper, 2'000};
const CableRule kOptical{CableKind::kActiveOptical, 20'000};

TopologySpec Node(int chips) {
  TopologySpec spec{"node"};
  spec.node.chips = chips;
  return spec;
}
TopologySpec Torus(std::vector<int> dims) {
  TopologySpec spec = Node(1);
  spec.node.local = LocalWiring::kTorus;
  for (int dim : dims) spec.node.chips *= dim;
  spec.node.torus_dims = std::move(dims);
  return spec;
}
TopologySpec Rack() {
  TopologySpec spec = Node(8);
  spec.rack = GroupRule{9, 1, 4, 4, kCopper};
  return spec;
}
TopologySpec Racks(int racks, int cables) {
  TopologySpec spec = Node(8);
  spec.rack = GroupRule{9, 1, 2, 2, kCopper};
  spec.system = GroupRule{racks, 0, cables, 2, kOptical};
  return spec;
}
TopologySpec Dragonfly264() {
  TopologySpec spec = Node(8);
  spec.system = GroupRule{33, 1, 1, 4, kOptical};
  return spec;
}
Topology Make(const TopologySpec& spec) {
  absl::StatusOr<Topology> topology = Topology::Create(spec);
  EXPECT_TRUE(topology.ok()) << topology.status();
  return *std::move(topology);
}

// Floyd-Warshall, O(chips^3): shares nothing with the code under test but the links.
std::vector<std::vector<int>> AllPairs(const Topology& topology) {
  const int n = topology.num_chips();
  std::vector<std::vector<int>> d(n, std::vector<int>(n, 1'000));
  for (int i = 0; i < n; ++i) d[i][i] = 0;
  for (const Link& link : topology.links()) d[link.from.value()][link.to.value()] = 1;
  for (int k = 0; k < n; ++k) {
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) d[i][j] = std::min(d[i][j], d[i][k] + d[k][j]);
    }
  }
  return d;
}

void ExpectHopsAsInSlowSearch(const Topology& topology) {
  const auto d = AllPairs(topology);
  const HopCounts hops = CountHops(topology);
  std::vector<int64_t> pairs_at(hops.pairs_at.size(), 0);
  int farthest = 0;
  for (const auto& row : d) {
    for (int distance : row) {
      farthest = std::max(farthest, distance);
      ASSERT_LT(distance, static_cast<int>(pairs_at.size()));
      ++pairs_at[distance];
    }
  }
  EXPECT_EQ(hops.chip_diameter, farthest);
  EXPECT_EQ(hops.pairs_at, pairs_at);
  EXPECT_EQ(d[hops.farthest.first.value()][hops.farthest.second.value()], farthest);
  EXPECT_EQ(hops.pairs_without_route, 0);
}

TEST(TopologyTest, PortPOfChipIReachesChipIPlusPPlus1AtPortNMinus2MinusP) {
  for (int n = 2; n <= 8; ++n) {
    const Topology node = Make(Node(n));
    EXPECT_EQ(node.num_links(), n * (n - 1));
    for (int i = 0; i < n; ++i) {
      for (int p = 0; p < n - 1; ++p) {
        const Link* link = node.link_at(ChipId(i), PortId(p));
        ASSERT_NE(link, nullptr);
        EXPECT_EQ(link->to, ChipId((i + p + 1) % n));
        EXPECT_EQ(link->to_port, PortId(n - 2 - p));
        EXPECT_EQ(node.incoming(link->to, link->to_port), link);
      }
      EXPECT_EQ(node.link_at(ChipId(i), PortId(n - 1)), nullptr);
    }
  }
}

TEST(TopologyTest, EveryLinkHasADenseIdAndAWayBackOnTheSameCable) {
  for (const TopologySpec& spec : {Rack(), Dragonfly264(), Racks(4, 7), Torus({4, 2, 3})}) {
    const Topology topology = Make(spec);
    uint32_t id = 0;
    for (const Link& link : topology.links()) {
      EXPECT_EQ(link.id, LinkId(id++));
      EXPECT_EQ(topology.link(link.id), link);
      EXPECT_EQ(topology.reverse(link).to, link.from);
      EXPECT_EQ(topology.reverse(link).to_port, link.from_port);
      EXPECT_EQ(topology.node_of(link.from) == topology.node_of(link.to),
                link.place == Place::kNode);
    }
  }
}

TEST(TopologyTest, RingSendsForwardOnPort0AndBackOnPort1) {
  const Topology ring = Make(Torus({4}));
  EXPECT_EQ(ring.num_links(), 8);
  EXPECT_EQ(ring.link_at(ChipId(3), PortId(0))->to, ChipId(0));
  EXPECT_EQ(ring.link_at(ChipId(3), PortId(0))->to_port, PortId(1));
  EXPECT_THAT(ring.Neighbors(ChipId(0)), ElementsAre(ChipId(1), ChipId(3)));
}

TEST(TopologyTest, TorusDimensionOfTwoHasOneCableAndThreeAreTripled) {
  const Topology torus = Make(Torus({4, 2}));
  EXPECT_EQ(torus.num_cables(), 8 + 4);  // 2 rings of 4, 4 rungs
  EXPECT_EQ(CountHops(torus).chip_diameter, 2 + 1);
  TopologySpec tripled = Torus({8});
  tripled.node.cables_per_neighbor = 3;
  EXPECT_EQ(Make(tripled).num_cables(), 8 * 3);
  EXPECT_EQ(Make(tripled).LinksBetween(ChipId(0), ChipId(7)).size(), 3u);
}

TEST(TopologyTest, V15StandAloneRackUsesEveryGlobalPort) {
  const Topology rack = Make(Rack());
  EXPECT_EQ(rack.num_chips(), 72);
  EXPECT_EQ(rack.num_cables(), 9 * 28 + 36 * 4);
  std::map<std::pair<uint32_t, uint32_t>, int> cables;
  for (const Link& link : rack.links()) {
    if (link.place == Place::kRack) {
      ++cables[{rack.node_of(link.from).value(), rack.node_of(link.to).value()}];
    }
  }
  EXPECT_EQ(cables.size(), 72u);  // 36 pairs, both ways
  for (const auto& [pair, count] : cables) EXPECT_EQ(count, 4);
  for (int chip = 0; chip < 72; ++chip) EXPECT_EQ(rack.outgoing(ChipId(chip)).size(), 11u);
}

TEST(TopologyTest, V15DiametersAreThePublishedOnes) {
  EXPECT_EQ(CountHops(Make(Node(8))).chip_diameter, 1);
  const HopCounts h264 = CountHops(Make(Dragonfly264()));
  EXPECT_EQ(h264.chip_diameter, 3);
  EXPECT_EQ(h264.node_to_node, 1);
  const HopCounts h10440 = CountHops(Make(Racks(145, 1)));
  EXPECT_EQ(h10440.chip_diameter, 7);  // over chips it is not the published 5
  EXPECT_EQ(h10440.node_to_node, 5);   // 2 + 1 + 2
  EXPECT_EQ(h10440.node_graph, 3);
}

TEST(TopologyTest, HopCountsEqualThoseOfASlowAllPairsSearch) {
  for (const TopologySpec& spec :
       {Node(1), Node(5), Torus({4}), Torus({4, 2, 3}), Rack(), Dragonfly264(), Racks(3, 9)}) {
    SCOPED_TRACE(spec.ToString());
    ExpectHopsAsInSlowSearch(Make(spec));
  }
}

TEST(TopologyTest, SubsetWithoutSymmetryIsCountedRightToo) {
  const Topology part = *Make(Rack()).Subset(53);
  EXPECT_EQ(DistinctViews(part), 53);
  ExpectHopsAsInSlowSearch(part);
}

TEST(TopologyTest, V15TheLargestSystemHasOneCablePerRackPairAnd144Plus144Ports) {
  const Topology system = Make(Racks(145, 1));
  EXPECT_EQ(system.num_chips(), 10'440);
  std::set<std::pair<uint32_t, uint32_t>> rack_pairs;
  int in_rack_ports = 0, out_ports = 0;
  for (const Link& link : system.links()) {
    const RackId from = *system.rack_of(link.from), to = *system.rack_of(link.to);
    EXPECT_EQ(from == to, link.place != Place::kSystem);
    if (link.place == Place::kSystem) {
      EXPECT_TRUE(rack_pairs.insert({from.value(), to.value()}).second) << link.ToString();
    }
    if (from != RackId(0)) continue;
    in_rack_ports += link.place == Place::kRack;
    out_ports += link.place == Place::kSystem;
  }
  EXPECT_EQ(rack_pairs.size(), 145u * 144u);
  EXPECT_EQ(in_rack_ports, 144);
  EXPECT_EQ(out_ports, 144);
}

TEST(TopologyTest, V16CablesOfANodeAre28Plus32OfWhich44Short) {
  const NodeCables cables = ComputeStats(Make(Racks(145, 1))).node_cables;
  EXPECT_EQ(cables.internal, 28);
  EXPECT_EQ(cables.to_rack + cables.to_system, 32);
  EXPECT_EQ(cables.total(), 60);
  EXPECT_EQ(cables.electrical, 44);  // 28 + 16: 73.3 %
}

TEST(TopologyTest, V17UniformTrafficGets50And14GigabytesPerSecond) {
  // 64 pairs of chips share each of 32 node-to-node cables: 256 destinations / 64 x 12.5 GB/s.
  EXPECT_DOUBLE_EQ(ComputeUniformTraffic(Make(Dragonfly264())).mb_per_s_per_chip, 50'000.0);
  EXPECT_DOUBLE_EQ(ComputeUniformTraffic(Make(Rack())).mb_per_s_per_chip, 50'000.0);
  // 2 links of 12.5 GB/s over 2 x 8/9 hops between the nodes of a rack.
  const UniformTraffic far = ComputeUniformTraffic(Make(Racks(145, 1)));
  EXPECT_NEAR(far.mb_per_s_per_chip, 25'000.0 / (2 * 8.0 / 9.0), 1e-3);
  EXPECT_EQ(far.bottleneck, Place::kRack);
  EXPECT_EQ(far.destinations, 144 * 72);
  // 7 links of 12.5 GB/s, each to its own chip.
  EXPECT_DOUBLE_EQ(ComputeUniformTraffic(Make(Node(8))).mb_per_s_per_chip, 87'500.0);
  // Ring of 4: chip pairs at 1, 1, 2 hops load a direction with 1 + 2 x 1/2 = 2 flows.
  EXPECT_DOUBLE_EQ(ComputeUniformTraffic(Make(Torus({4}))).mb_per_s_per_chip, 3 * 12'500.0 / 2);
}

TEST(TopologyTest, V18RackPortSumsAre3600And3200AndTheCutIs800GigabytesPerSecond) {
  const RackBandwidth rack = *ComputeRackBandwidth(Make(Rack()));
  EXPECT_EQ(rack.off_node_mb_per_s, 288 * 12'500);
  EXPECT_EQ(rack.working_off_node_mb_per_s, 256 * 12'500);
  EXPECT_EQ(rack.half_cut_mb_per_s, 4 * 4 * 4 * 12'500);  // 4 nodes x 4 nodes x 4 cables
  EXPECT_EQ(rack.halvings_tried, 35);                     // 8 choose 4, halved
}

TEST(TopologyTest, SpareNodesAreTheLastOnesOfEachRack) {
  const Topology racks = Make(Racks(10, 16));
  EXPECT_FALSE(racks.is_spare(ChipId(72 + 63)));
  EXPECT_TRUE(racks.is_spare(ChipId(72 + 64)));
  EXPECT_EQ(ComputeStats(racks).working_chips, 640);
  EXPECT_EQ(ComputeStats(Make(Dragonfly264())).working_chips, 256);
}

TEST(TopologyTest, SubsetKeepsPortsAndDropsLinksToAbsentChips) {
  const Topology node = Make(Node(8));
  const Topology part = *node.Subset(5);
  EXPECT_EQ(part.num_chips(), 5);
  EXPECT_EQ(part.num_links(), 5 * 4);
  EXPECT_EQ(part.link_at(ChipId(0), PortId(4)), nullptr);  // chip5 is gone
  EXPECT_EQ(part.link_at(ChipId(4), PortId(3))->to, ChipId(0));
  EXPECT_EQ(part.link_at(ChipId(4), PortId(3))->to_port, PortId(3));
  EXPECT_FALSE(part == node);
  EXPECT_EQ(*node.Subset(8), node);
  for (int chips : {0, -1, 9}) EXPECT_FALSE(node.Subset(chips).ok());
}

TEST(TopologyTest, TheLargestSystemBuildsWellUnderASecond) {
  const auto start = std::chrono::steady_clock::now();
  const Topology system = Make(Racks(145, 1));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(system.num_links(), 10'440 * 11);
  EXPECT_LT(took.count(), 1.0);  // takes some milliseconds
}

TEST(TopologyTest, CableDelayIsZeroUnlessSwitchedOnAndThenOffNodeOnly) {
  const TopologySpec slow = WithOffNodeCableDelay(Racks(145, 1), 5'000);
  EXPECT_EQ(Racks(145, 1).system->cable.ExtraDelayPs(), 0);
  EXPECT_EQ(slow.node.cable.ExtraDelayPs(), 0);
  EXPECT_EQ(slow.rack->cable.ExtraDelayPs(), 10'000);     // 2 m x 5 ns
  EXPECT_EQ(slow.system->cable.ExtraDelayPs(), 100'000);  // 20 m x 5 ns = 90 cycles
}

struct BadRule {
  const char* says;  // must stand in the error
  std::function<void(TopologySpec&)> spoil;
};

TEST(TopologyTest, BadRulesAreRefusedWithTheFieldNamed) {
  const std::vector<BadRule> rules = {
      {"name is empty", [](auto& s) { s.name = ""; }},
      {"name of 3", [](auto& s) { s.name = "a/b"; }},
      {"node.chips is 0", [](auto& s) { s.node.chips = 0; }},
      {"node.chips is -8", [](auto& s) { s.node.chips = -8; }},
      {"needs 8 local ports", [](auto& s) { s.node.chips = 9; }},
      {"chip.local_ports is 17", [](auto& s) { s.chip.local_ports = 17; }},
      {"chip.local_ports + chip.global_ports is 20", [](auto& s) { s.chip.global_ports = 13; }},
      {"link.lanes is 0", [](auto& s) { s.link.lanes = 0; }},
      {"link.lane_mbit_per_s is -1", [](auto& s) { s.link.lane_mbit_per_s = -1; }},
      {"node.cable.length_mm is -1", [](auto& s) { s.node.cable.length_mm = -1; }},
      {"rack.nodes is 0", [](auto& s) { s.rack->units = 0; }},
      {"rack.nodes is 10", [](auto& s) { s.rack->units = 10; }},  // 9 peers x 2 > 16 ports
      {"rack.spare_nodes is 9", [](auto& s) { s.rack->spare_units = 9; }},
      {"rack.spare_nodes is -1", [](auto& s) { s.rack->spare_units = -1; }},
      {"rack.cables_per_node_pair is 0", [](auto& s) { s.rack->cables_per_pair = 0; }},
      {"each needs 24 ports", [](auto& s) { s.rack->cables_per_pair = 3; }},
      {"rack.ports_per_chip + system.ports_per_chip is 5",
       [](auto& s) { s.rack->ports_per_chip = 3; }},
      {"system.racks is 146", [](auto& s) { s.system->units = 146; }},
      {"system.racks is 2000000000", [](auto& s) { s.system->units = 2'000'000'000; }},
      {"system.spare_racks is 145", [](auto& s) { s.system->spare_units = 145; }},
      {"node.torus is given", [](auto& s) { s.node.torus_dims = {8}; }},
      {"number of node.torus.dims is 0", [](auto& s) { s.node.local = LocalWiring::kTorus; }},
      {"number of chips asked for is 10441", [](auto& s) { s.first_chips = 10'441; }},
  };
  ASSERT_TRUE(ValidateSpec(Racks(145, 1)).ok());
  for (const BadRule& rule : rules) {
    TopologySpec spec = Racks(145, 1);
    rule.spoil(spec);
    const absl::StatusOr<Topology> topology = Topology::Create(spec);
    EXPECT_FALSE(topology.ok()) << rule.says;
    EXPECT_THAT(std::string(topology.status().message()), HasSubstr(rule.says));
  }
}

TEST(TopologyTest, BadTorusesAreRefusedWithTheFieldNamed) {
  TopologySpec wrong_product = Torus({4});
  wrong_product.node.chips = 5;
  EXPECT_THAT(std::string(ValidateSpec(wrong_product).message()), HasSubstr("multiply to 4"));
  EXPECT_THAT(std::string(ValidateSpec(Torus({1})).message()), HasSubstr("node.torus.dims is 1"));
  TopologySpec huge = Torus({4});
  huge.node.torus_dims = {65'536, 65'536, 65'536, 65'536, 65'536};
  EXPECT_THAT(std::string(ValidateSpec(huge).message()), HasSubstr("product of node.torus.dims"));
  EXPECT_THAT(std::string(ValidateSpec(Torus({3, 3, 3, 3})).message()), HasSubstr("local ports"));
}

TEST(TopologyTest, EqualRulesGiveEqualTopologiesAndPrintThemselves) {
  EXPECT_EQ(Make(Rack()), Make(Rack()));
  EXPECT_FALSE(Make(Rack()) == Make(Dragonfly264()));
  EXPECT_EQ(Make(Rack()).ToString(),
            "node: 8 chips a node FULLY_CONNECTED; rack of 9 nodes (1 spare) x 4 cables; "
            "72 chips, 9 nodes, 1 rack, 792 links");
  EXPECT_EQ(Make(Node(8)).link(LinkId(3)).ToString(), "link3 chip0.port3 -> chip4.port3 (node)");
}

}  // namespace
}  // namespace lockstep
