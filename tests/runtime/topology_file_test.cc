// Topology files: those that come with Lockstep, what is refused and how the error reads.
#include "runtime/machine/topology_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "fabric/topology.h"
#include "runtime/files/textproto_file.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kDir = LOCKSTEP_SOURCE_DIR "/topologies";

std::string ErrorOf(absl::string_view text) {
  const absl::StatusOr<TopologySpec> spec = ParseTopology(text, "x.textproto");
  EXPECT_FALSE(spec.ok()) << text;
  return std::string(spec.status().message());
}

TEST(TopologyFileTest, EveryTopologyThatComesWithLockstepLoadsUnderItsOwnName) {
  for (const std::string& name : KnownTopologies(kDir)) {
    const absl::StatusOr<TopologySpec> spec = LoadTopology(name, kDir);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->name, name);
    EXPECT_TRUE(Topology::Create(*spec).ok());
  }
}

TEST(TopologyFileTest, KnownTopologiesAreListedInOrder) {
  EXPECT_THAT(
      KnownTopologies(kDir),
      ElementsAre("dragonfly-10440", "dragonfly-264", "groqcard", "groqnode", "groqrack",
                  "groqrack-x10", "groqrack-x2", "groqrack-x3", "groqrack-x4", "groqrack-x5",
                  "groqrack-x6", "groqrack-x7", "groqrack-x8", "groqrack-x9", "ring4"));
}

TEST(TopologyFileTest, RacksShareTheirGlobalPortsAmongTheirPeers) {
  // Half of a rack's 288 global ports leave it; each peer rack gets as many cables as go evenly.
  for (int racks = 2; racks <= 10; ++racks) {
    const std::string name = "groqrack-x" + std::to_string(racks);
    const auto spec = LoadTopology(name, kDir);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->name, name);
    EXPECT_EQ(spec->system->units, racks);
    EXPECT_EQ(spec->system->cables_per_pair, 144 / (racks - 1)) << name;
    EXPECT_EQ(spec->rack->spare_units, 1);
    EXPECT_EQ(Topology::Create(*spec)->num_chips(), 72 * racks);
  }
}

TEST(TopologyFileTest, TheRackFileSaysNineNodesOneSpareFourCables) {
  const TopologySpec spec = *LoadTopology("groqrack", kDir);
  EXPECT_EQ(spec.ChipCount(), 72);
  EXPECT_EQ(spec.rack->spare_units, 1);
  EXPECT_EQ(spec.rack->cables_per_pair, 4);
  EXPECT_EQ(spec.link.MegabytesPerSecond(), 12'500);
}

TEST(TopologyFileTest, OneRackMoreOrOneCableMoreThanThePortsAllowIsRefused) {
  const TopologySpec x10 = *LoadTopology("groqrack-x10", kDir);
  TopologySpec more = x10;
  more.system->cables_per_pair = 17;  // 9 x 16 = 144 ports, 9 x 17 = 153
  EXPECT_TRUE(ValidateSpec(x10).ok());
  EXPECT_THAT(std::string(ValidateSpec(more).message()), HasSubstr("system.cables_per_rack_pair"));
}

TEST(TopologyFileTest, APathIsReadAsItIs) {
  EXPECT_EQ(*LoadTopology(kDir + "/ring4.textproto", "/nowhere"), *LoadTopology("ring4", kDir));
  const absl::Status absent = LoadTopology("./no/such.textproto", kDir).status();
  EXPECT_THAT(std::string(absent.message()), HasSubstr("./no/such.textproto: cannot open"));
  EXPECT_THAT(std::string(LoadTopology(kDir + "/", kDir).status().message()), HasSubstr("folder"));
}

TEST(TopologyFileTest, AnUnknownNameListsTheKnownOnes) {
  const absl::Status status = LoadTopology("groqrak", kDir).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("unknown topology \"groqrak\"; known in " + kDir + ": dragonfly-10440, "));
  EXPECT_THAT(std::string(LoadTopology("groqnode", "/nowhere").status().message()),
              HasSubstr("known in /nowhere: none"));
}

TEST(TopologyFileTest, BadTextIsAnErrorWithFileLineAndColumn) {
  EXPECT_THAT(ErrorOf("name: \"x\"\nnode { chps: 8 }\n"), StartsWith("x.textproto:2:12: "));
  EXPECT_THAT(ErrorOf("name: \"x\"\nnode { chps: 8 }\n"), HasSubstr("\"chps\""));
  EXPECT_THAT(ErrorOf("node { chips: 8"), StartsWith("x.textproto:1:16: "));
  EXPECT_THAT(ErrorOf("node { chips: 99999999999 }"), StartsWith("x.textproto:1:15: "));
  EXPECT_THAT(ErrorOf("node { local: STAR }"), HasSubstr("STAR"));
}

TEST(TopologyFileTest, BadRulesAreErrorsWithFileAndField) {
  EXPECT_EQ(ErrorOf("name: \"x\""),
            "x.textproto: topology x: node.chips is 0, allowed: 1 to 65536");
  EXPECT_THAT(ErrorOf("name: \"x\" node { chips: 8 }"), HasSubstr("node.local is missing"));
  EXPECT_THAT(ErrorOf("name: \"x\" node { chips: 1 } system { racks: 2 }"),
              HasSubstr("system.racks without a rack rule"));
  EXPECT_THAT(ErrorOf("name: \"x\" node { chips: 1 } rack { nodes: 1 } system { nodes: 2 }"),
              HasSubstr("system.nodes with a rack rule"));
  EXPECT_THAT(ErrorOf("name: \"x\" node { chips: 4 local: FULLY_CONNECTED torus { dims: 4 } }"),
              HasSubstr("node.torus is given"));
  EXPECT_THAT(ErrorOf("name: \"x\" node { chips: 1 cable { length_mm: -5 } }"),
              HasSubstr("node.cable.length_mm is -5"));
}

TEST(TopologyFileTest, AFileLongerThanTheLimitIsRefused) {
  std::string text = "name: \"x\" node { chips: 1 } #";
  text.resize(kMaxTextprotoBytes, ' ');
  EXPECT_TRUE(ParseTopology(text, "x.textproto").ok());
  EXPECT_THAT(ErrorOf(text + " "), HasSubstr("more than 65536 bytes"));
}

TEST(TopologyFileTest, CableDelayCanBeSwitchedOnInTheFile) {
  const TopologySpec spec = *ParseTopology(
      "name: \"x\" node { chips: 1 } system { nodes: 2 cables_per_node_pair: 1 ports_per_chip: 1 "
      "cable { length_mm: 20000 extra_ps_per_m: 5000 } }",
      "x.textproto");
  EXPECT_EQ(spec.system->cable.kind, CableKind::kActiveOptical);
  EXPECT_EQ(spec.system->cable.ExtraDelayPs(), 100'000);
}

}  // namespace
}  // namespace lockstep
