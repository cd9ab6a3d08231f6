// Ways over third chips: apart from each other, over the chips that mind least, and no longer.
#include "fabric/detours.h"

#include <set>

#include "gtest/gtest.h"
#include "tests/fabric/racks.h"

namespace lockstep {
namespace {

std::vector<Passage> All(const Topology& topology, Passage passage) {
  return std::vector<Passage>(topology.num_chips(), passage);
}

std::vector<ChipId> First(const Topology& topology, int node, int chips) {
  std::vector<ChipId> out = topology.chips_of(NodeId(node));
  out.resize(chips, ChipId(0));
  return out;
}

TEST(DetoursTest, AreWaysThatShareNoChip) {
  const Topology topology = Racks(1, 0);
  const auto from = First(topology, 0, 8), to = First(topology, 1, 8);
  const auto ways = FindDetours(topology, from, to, All(topology, Passage::kFree), 4);
  ASSERT_EQ(ways.size(), 4u);
  std::set<ChipId> seen;
  for (const Path& way : ways) {
    EXPECT_EQ(topology.node_of(topology.link(way.front()).from), NodeId(0));
    EXPECT_EQ(topology.node_of(topology.link(way.back()).to), NodeId(1));
    EXPECT_GE(way.size(), 2u);
    for (size_t i = 0; i < way.size(); ++i) {
      if (i > 0) {
        EXPECT_EQ(topology.link(way[i]).from, topology.link(way[i - 1]).to);
      }
      EXPECT_TRUE(seen.insert(topology.link(way[i]).to).second) << "a chip twice";
      if (i + 1 < way.size()) {
        EXPECT_GT(topology.node_of(topology.link(way[i]).to), NodeId(1));
      }
    }
  }
}

TEST(DetoursTest, TheShortestWayIsTakenFirst) {
  // 0.0 and 1.0 have no cable in common; each has one to an idle chip of its own node.
  const Topology topology = Racks(1, 0);
  const auto ways = FindDetours(topology, First(topology, 0, 1), First(topology, 1, 1),
                                All(topology, Passage::kFree), 4);
  ASSERT_EQ(ways.size(), 1u);  // the one chip takes one share
  EXPECT_EQ(ways.front().size(), 2u);
}

TEST(DetoursTest, SpareChipsPassOnOnlyWhereNothingElseDoes) {
  const Topology topology = Racks(1, 0);
  const auto from = First(topology, 0, 1), to = First(topology, 1, 1);
  auto passage = All(topology, Passage::kFree);
  const Path shortest = FindDetours(topology, from, to, passage, 1).front();
  const ChipId third = topology.link(shortest.front()).to;
  passage[third.value()] = Passage::kSpare;
  const Path other = FindDetours(topology, from, to, passage, 1).front();
  for (LinkId link : other) EXPECT_NE(topology.link(link).to, third);
  for (Passage& p : passage) p = p == Passage::kSpare ? p : Passage::kClosed;
  passage[to.front().value()] = Passage::kFree;
  EXPECT_EQ(FindDetours(topology, from, to, passage, 1).front(), shortest);
  passage[third.value()] = Passage::kClosed;
  EXPECT_TRUE(FindDetours(topology, from, to, passage, 1).empty());
}

TEST(DetoursTest, OfEquallyLongWaysTheOneOverIdleChipsIsTaken) {
  const Topology topology = Racks(1, 0);
  const auto from = First(topology, 0, 8), to = First(topology, 1, 8);
  auto passage = All(topology, Passage::kFree);
  const Path first = FindDetours(topology, from, to, passage, 1).front();
  passage[topology.link(first.front()).to.value()] = Passage::kBusy;
  const Path second = FindDetours(topology, from, to, passage, 1).front();
  EXPECT_EQ(second.size(), first.size());
  EXPECT_NE(topology.link(second.front()).to, topology.link(first.front()).to);
}

}  // namespace
}  // namespace lockstep
