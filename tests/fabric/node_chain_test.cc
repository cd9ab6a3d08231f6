// Chains of nodes that are cabled one to the next.
#include "fabric/node_chain.h"

#include <algorithm>
#include <set>

#include "gtest/gtest.h"
#include "tests/fabric/racks.h"

namespace lockstep {
namespace {

void ExpectChain(const Topology& topology, const std::vector<NodeId>& chain, size_t length) {
  ASSERT_EQ(chain.size(), length);
  EXPECT_EQ(std::set<NodeId>(chain.begin(), chain.end()).size(), length) << "a node twice";
  for (size_t i = 1; i < chain.size(); ++i) {
    EXPECT_GT(CablesBetween(topology, chain[i - 1], chain[i]), 0) << i;
  }
}

TEST(NodeChainTest, AllWorkingNodesOfTenRacksFormAChain) {
  const Topology topology = Racks(10, 16);
  const auto chain = FindNodeChain(topology, WorkingNodes(topology), 80);
  ASSERT_TRUE(chain.ok()) << chain.status();
  ExpectChain(topology, *chain, 80);
  for (NodeId node : *chain) EXPECT_NE(node.value() % 9, 8u) << "a spare node";
  for (int i = 0; i < 80; ++i) EXPECT_EQ((*chain)[i].value() / 9, i / 8) << "racks one by one";
}

TEST(NodeChainTest, OneCableARackPairIsEnough) {
  // 145 racks: the cable from rack r to rack r + 1 ends at the spare node, so racks are taken in
  // another order.
  const Topology topology = Racks(145, 1);
  const auto chain = FindNodeChain(topology, WorkingNodes(topology), 145 * 8);
  ASSERT_TRUE(chain.ok()) << chain.status();
  ExpectChain(topology, *chain, 145 * 8);
}

TEST(NodeChainTest, EveryLengthOfARackBeginsAtItsFirstNode) {
  const Topology topology = Racks(1, 0);
  for (int length = 1; length <= 8; ++length) {
    const auto chain = FindNodeChain(topology, WorkingNodes(topology), length);
    ASSERT_TRUE(chain.ok());
    for (int i = 0; i < length; ++i) EXPECT_EQ((*chain)[i], NodeId(i));
  }
}

TEST(NodeChainTest, TooManyNodesAreRefusedWithTheNumbers) {
  const Topology topology = Racks(1, 0);
  const auto chain = FindNodeChain(topology, WorkingNodes(topology), 9);
  ASSERT_FALSE(chain.ok());
  EXPECT_EQ(chain.status().message(), "topology racks has 8 nodes to work with; 9 are needed");
}

TEST(NodeChainTest, NodesWithoutACableAreNoChain) {
  // Of ten racks, node 0.0 and a node of rack 1 that no cable joins to it.
  const Topology topology = Racks(10, 16);
  std::vector<NodeId> apart = {NodeId(0)};
  for (uint32_t n = 9; n < 18 && apart.size() == 1; ++n) {
    if (CablesBetween(topology, NodeId(0), NodeId(n)) == 0) apart.push_back(NodeId(n));
  }
  ASSERT_EQ(apart.size(), 2u);
  EXPECT_EQ(FindNodeChain(topology, apart, 2).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(CheckNodeChain(topology, apart).ok());
}

TEST(NodeChainTest, NamesGoBothWays) {
  const Topology racks = Racks(10, 16);
  for (int n = 0; n < racks.num_nodes(); ++n) {
    const auto back = ParseNodeName(racks, NodeName(racks, NodeId(n)));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, NodeId(n));
  }
  EXPECT_EQ(NodeName(racks, NodeId(32)), "3.5");
  for (const char* wrong : {"", "3", "3.9", "10.0", "-1.0", "3.5.1", "a.b", "3.", ".5"}) {
    EXPECT_FALSE(ParseNodeName(racks, wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace lockstep
