// Trees over whole topologies: every chip reaches every root, and long cables are used sparingly.
#include "runtime/collectives/reduction_tree.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

Topology Load(const std::string& name) {
  return *Topology::Create(*LoadTopology(name, LOCKSTEP_SOURCE_DIR "/topologies"));
}

// Hops from `chip` to `root`, or -1 if the way does not end there.
int Depth(const Topology& t, const ReductionTrees& trees, int chip, int root, uint32_t spread) {
  int hops = 0;
  for (int at = chip; at != root; ++hops) {
    if (hops > 8) return -1;
    const Link& link = trees.Next(ChipId(at), ChipId(root), spread);
    if (static_cast<int>(link.from.value()) != at) return -1;
    at = static_cast<int>(link.to.value());
  }
  EXPECT_LT(root, t.num_chips());
  return hops;
}

TEST(ReductionTreeTest, EveryChipReachesItsRootWithinLocalAndLongHops) {
  const std::map<std::string, int> deepest = {
      {"ring4", 2}, {"groqnode", 1}, {"groqrack", 3}, {"dragonfly-264", 3}, {"groqrack-x10", 7}};
  for (const auto& [name, most] : deepest) {
    const Topology t = Load(name);
    const auto trees = ReductionTrees::Create(t);
    ASSERT_TRUE(trees.ok()) << trees.status();
    int found = 0;
    for (int root = 0; root < t.num_chips(); root += 7) {
      for (int chip = 0; chip < t.num_chips(); ++chip) {
        const int depth = Depth(t, *trees, chip, root, static_cast<uint32_t>(root));
        ASSERT_GE(depth, 0) << name << " chip " << chip << " root " << root;
        found = std::max(found, depth);
      }
    }
    EXPECT_EQ(found, most) << name;
  }
}

TEST(ReductionTreeTest, AUnitHandsOverOneSumOverOneCable) {
  const Topology t = Load("groqrack-x10");
  const auto trees = ReductionTrees::Create(t);
  ASSERT_TRUE(trees.ok());
  for (uint32_t spread : {0u, 5u}) {
    std::map<Place, int> crossings;
    for (int chip = 0; chip < t.num_chips(); ++chip) {
      if (chip != 100) ++crossings[trees->Next(ChipId(chip), ChipId(100), spread).place];
    }
    // Nine racks but the root's, each with eight nodes but the one that has the cable; the root's
    // rack.
    EXPECT_EQ(crossings[Place::kSystem], 9);
    EXPECT_EQ(crossings[Place::kRack], 9 * 8 + 8);
  }
}

TEST(ReductionTreeTest, SpreadsUseAllParallelCables) {
  const Topology t = Load("groqrack");
  const auto trees = ReductionTrees::Create(t);
  ASSERT_TRUE(trees.ok());
  ASSERT_EQ(trees->Cables(0, 1, 0).size(), 4u);
  std::map<uint32_t, int> gateways;
  for (uint32_t spread = 0; spread < 4; ++spread) {
    for (int chip = 8; chip < 16; ++chip) {
      const Link& link = trees->Next(ChipId(chip), ChipId(3), spread);
      if (link.place == Place::kRack) ++gateways[link.id.value()];
    }
  }
  EXPECT_EQ(gateways.size(), 4u);
}

TEST(ReductionTreeTest, UnitsThatNoCableJoinsAreAnError) {
  // Of 33 nodes with one cable a pair, ten chips keep two nodes of which the second has two chips.
  const Topology part = *Load("dragonfly-264").Subset(10);
  const auto trees = ReductionTrees::Create(part);
  ASSERT_FALSE(trees.ok());
  EXPECT_NE(trees.status().message().find("no cable joins node 0 and 1"), std::string::npos)
      << trees.status();
}

}  // namespace
}  // namespace lockstep
