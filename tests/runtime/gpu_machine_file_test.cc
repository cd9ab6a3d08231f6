// Files of GPU machines: those that come with the project, and bad ones.
#include "runtime/comparison/gpu_machine_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_replace.h"
#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kDir = LOCKSTEP_SOURCE_DIR "/topologies";

TEST(GpuMachineFileTest, MachinesAndTopologiesAreKnownApart) {
  EXPECT_THAT(KnownGpuMachines(kDir), ElementsAre("a100-pcie", "dgx-a100", "dgx-h100"));
  for (const std::string& name : KnownTopologies(kDir)) {
    EXPECT_TRUE(LoadTopology(name, kDir).ok()) << name;
  }
  EXPECT_THAT(LoadTopology("dgx-a100", kDir).status().message(), HasSubstr("unknown topology"));
  EXPECT_THAT(LoadGpuMachine("groqnode", kDir).status().message(),
              HasSubstr("unknown GPU machine \"groqnode\"; known in "));
}

TEST(GpuMachineFileTest, EveryFigureHasASourceAndFewAreCalibrated) {
  for (const std::string& name : KnownGpuMachines(kDir)) {
    const auto machine = LoadGpuMachine(name, kDir);
    ASSERT_TRUE(machine.ok()) << machine.status();
    EXPECT_EQ(machine->machine.name, name);
    EXPECT_GE(machine->figures.size(), 17u);
    EXPECT_LE(machine->calibrated(), 10);
  }
}

class BadMachine : public testing::Test {
 protected:
  std::string ErrorWith(const std::string& from, const std::string& to) {
    std::ifstream in(kDir + "/dgx-h100.textproto");
    std::stringstream text;
    text << in.rdbuf();
    const std::string changed = absl::StrReplaceAll(text.str(), {{from, to}});
    EXPECT_NE(changed, text.str());
    return std::string(ParseGpuMachine(changed, "f").status().message());
  }
};

TEST_F(BadMachine, IsAnsweredWithFieldAndValue) {
  EXPECT_THAT(ErrorWith("gpus: 8", "gpus: 80"), HasSubstr("f: gpus is 80; need 2 to 8"));
  EXPECT_THAT(ErrorWith("gpus: 8", "gups: 8"), HasSubstr("has no field named \"gups\""));
  EXPECT_THAT(ErrorWith("HOPPER", "GENERATION_UNSPECIFIED"), HasSubstr("generation is missing"));
  EXPECT_THAT(ErrorWith("value: 1980 ", "value: 198000000000 "),
              HasSubstr("sm_clock_mhz is 198000000000: too large"));
  EXPECT_THAT(ErrorWith("value: 1980 source: \"NVIDIA H100 SXM5, boost clock\"", "value: 1980"),
              HasSubstr("sm_clock_mhz has no source"));
  EXPECT_THAT(ErrorWith("wire_cycles { value: 550 source: \"dgx-a100\" }", ""),
              HasSubstr("costs.wire_cycles is missing"));
  EXPECT_THAT(ErrorWith("\"2.21.5\"", "\"4.0\""), HasSubstr("NCCL version \"4.0\""));
}

}  // namespace
}  // namespace lockstep
