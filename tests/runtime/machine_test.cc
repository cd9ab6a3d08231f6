// Links, latencies and wires from what a user may say of them.
#include "runtime/machine/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

Topology Load(const std::string& name) {
  return *Topology::Create(*LoadTopology(name, std::string(LOCKSTEP_SOURCE_DIR) + "/topologies"));
}

TEST(MachineTest, LatenciesApplyInOrderOverThePreset) {
  const LinkModel links = *MakeLinks(Load("groqnode"), "C");
  EXPECT_EQ(MakeTiming({}, links)->receive_turnaround, 433);
  EXPECT_EQ(MakeTiming({"barrier=1", "barrier=7"}, links)->barrier, 7);
}

TEST(MachineTest, AWrongLatencyIsNamed) {
  const LinkModel links = *MakeLinks(Load("groqnode"), "B");
  for (const char* wrong : {"read", "read=", "read=x", "nothing=1", "=3", "read=-1"}) {
    const absl::StatusOr<ChipTiming> timing = MakeTiming({wrong}, links);
    ASSERT_FALSE(timing.ok()) << wrong;
    EXPECT_THAT(std::string(timing.status().message()), testing::HasSubstr(wrong));
  }
}

TEST(MachineTest, LongerCablesTakeLongerWhereTheTopologySaysSo) {
  const Topology rack = Load("groqrack");
  const LinkModel links = *MakeLinks(rack, "B");
  EXPECT_EQ(FlightCycles(rack, links, Place::kNode), 469);
  EXPECT_EQ(FlightCycles(rack, links, Place::kRack), 469);
  const Topology slower = *Topology::Create(WithOffNodeCableDelay(rack.spec(), 5'000));
  EXPECT_EQ(FlightCycles(slower, links, Place::kNode), 469);
  EXPECT_EQ(FlightCycles(slower, links, Place::kRack), 469 + 9);  // 2 m, 10 ns
}

TEST(MachineTest, WiresAreThoseAmongTheChips) {
  const Topology node = Load("groqnode");
  const LinkModel links = *MakeLinks(node, "B");
  EXPECT_EQ(MakeWiring(node, 1, links, ChipTiming::Default())->wires().size(), 0u);
  EXPECT_EQ(MakeWiring(node, 8, links, ChipTiming::Default())->wires().size(), 56u);  // 8 x 7
  EXPECT_FALSE(MakeWiring(node, 9, links, ChipTiming::Default()).ok());
}

}  // namespace
}  // namespace lockstep
