// Routes: valid, minimal, deterministic, spread over parallel cables.
#include "fabric/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "fabric/hops.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

Topology Make(int chips, std::optional<GroupRule> rack = {}, std::optional<GroupRule> system = {}) {
  TopologySpec spec{"test"};
  spec.node.chips = chips;
  spec.rack = rack;
  spec.system = system;
  absl::StatusOr<Topology> topology = Topology::Create(spec);
  EXPECT_TRUE(topology.ok()) << topology.status();
  return *std::move(topology);
}
const CableRule kCopper{CableKind::kQsfpCopper, 2'000};
Topology Rack() { return Make(8, GroupRule{9, 1, 4, 4, kCopper}); }
Topology Dragonfly264() { return Make(8, {}, GroupRule{33, 1, 1, 4, kCopper}); }
Topology TwoLevels() {
  return Make(8, GroupRule{9, 1, 2, 2, kCopper}, GroupRule{145, 0, 1, 2, kCopper});
}

void ExpectLeads(const Topology& topology, const Path& path, ChipId from, ChipId to) {
  for (LinkId id : path) {
    EXPECT_EQ(topology.link(id).from, from);
    from = topology.link(id).to;
  }
  EXPECT_EQ(from, to);
}

int LinksAt(const Topology& topology, const Path& path, Place place) {
  int count = 0;
  for (LinkId id : path) count += topology.link(id).place == place;
  return count;
}

TEST(RoutesTest, EveryRouteLeadsToItsChipInTheFewestHops) {
  const Topology rack = Rack();
  for (int to = 0; to < rack.num_chips(); ++to) {
    const RoutesTo routes(rack, ChipId(to));
    const auto hops = HopsFrom(rack, {ChipId(to)});
    for (int from = 0; from < rack.num_chips(); ++from) {
      const Path path = *routes.From(ChipId(from));
      ExpectLeads(rack, path, ChipId(from), ChipId(to));
      EXPECT_EQ(static_cast<int>(path.size()), *hops[from]);
      EXPECT_EQ(path, *Route(rack, ChipId(from), ChipId(to)));
    }
  }
}

TEST(RoutesTest, DragonflyRoutesTakeOneLongCableAtMostAndThreeHops) {
  const Topology system = Dragonfly264();
  for (int to : {0, 7, 131, 263}) {
    const RoutesTo routes(system, ChipId(to), RouteRule::kFewestLongCables);
    for (int from = 0; from < system.num_chips(); ++from) {
      const Path path = *routes.From(ChipId(from));
      ExpectLeads(system, path, ChipId(from), ChipId(to));
      EXPECT_EQ(LinksAt(system, path, Place::kSystem), from / 8 == to / 8 ? 0 : 1);
      EXPECT_LE(path.size(), 3u);
    }
  }
}

TEST(RoutesTest, TheFarthestPairOfTheLargestSystemIsSevenHopsApart) {
  const Topology system = TwoLevels();
  const HopCounts hops = CountHops(system);
  const auto [from, to] = hops.farthest;
  const Path path = *Route(system, from, to);
  ExpectLeads(system, path, from, to);
  EXPECT_EQ(path.size(), 7u);
  const Path frugal = *Route(system, from, to, RouteRule::kFewestLongCables);
  EXPECT_EQ(LinksAt(system, frugal, Place::kSystem), 1);
  EXPECT_LE(LinksAt(system, frugal, Place::kRack), 2);
}

TEST(RoutesTest, PairsOfChipsSpreadOverParallelCables) {
  const Topology rack = Rack();
  std::map<uint32_t, int> routes_over;  // cables from node 0 to node 1
  for (int from = 0; from < 8; ++from) {
    for (int to = 8; to < 16; ++to) {
      const Path path = *Route(rack, ChipId(from), ChipId(to), RouteRule::kFewestLongCables);
      for (LinkId id : path) {
        if (rack.link(id).place == Place::kRack) ++routes_over[id.value()];
      }
    }
  }
  EXPECT_EQ(routes_over.size(), 4u);
  for (const auto& [link, routes] : routes_over) EXPECT_GE(routes, 64 / 4 / 2) << link;
}

TEST(RoutesTest, ANodeHasOneDirectAndSixDistinctTwoHopPaths) {
  const Topology node = Make(8);
  for (int from = 0; from < 8; ++from) {
    for (int to = 0; to < 8; ++to) {
      if (from == to) continue;
      EXPECT_EQ(Route(node, ChipId(from), ChipId(to))->size(), 1u);
      std::set<uint32_t> links;
      for (const Path& path : TwoHopPaths(node, ChipId(from), ChipId(to))) {
        ExpectLeads(node, path, ChipId(from), ChipId(to));
        for (LinkId id : path) EXPECT_TRUE(links.insert(id.value()).second);
      }
      EXPECT_EQ(links.size(), 6u * 2u);
    }
  }
}

TEST(RoutesTest, AChipReachesItselfWithoutALink) {
  EXPECT_TRUE(Route(Make(8), ChipId(3), ChipId(3))->empty());
}

TEST(RoutesTest, AbsentChipsAndCutOffChipsAreErrorsThatNameThem) {
  const Topology node = Make(8);
  EXPECT_THAT(std::string(Route(node, ChipId(0), ChipId(8)).status().message()),
              HasSubstr("chip8"));
  // Node 0 of 33 and the first chip of node 1, which no chip of node 0 is cabled to here: chip 8
  // is where node 1 meets nodes 2, 10, 18 and 26, while its cable to node 0 is on chip 15.
  const Topology part = *Dragonfly264().Subset(9);
  const absl::Status status = Route(part, ChipId(0), ChipId(8)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("chip0 to chip8"));
  EXPECT_EQ(CountHops(part).pairs_without_route, 2 * 8);
}

}  // namespace
}  // namespace lockstep
