// Encoders over several chips: chains with links, the values of one chip, cycles that are kept.
#include "runtime/validation/encoder_pipeline.h"

#include <gmock/gmock.h>

#include <numeric>

#include "fabric/fleet.h"
#include "fabric/local_fabric.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/topology_file.h"
#include "runtime/validation/publications.h"
#include "runtime/validation/validate_testbed.h"
#include "tests/runtime/encoder_model.h"

namespace lockstep {
namespace {

constexpr char kTopologies[] = LOCKSTEP_SOURCE_DIR "/topologies";
constexpr EncoderShape kSmall{32, 3, 24, 100};

Topology FirstChips(int chips) {
  return *Topology::Create(*LoadTopology("dragonfly-264", kTopologies))->Subset(chips);
}

TEST(ChainOfChipsTest, NeighboursAreLinkedAndEveryChipIsThereOnce) {
  for (int chips : {1, 4, 8, 16, 40}) {
    const Topology topology = FirstChips(chips);
    const auto chain = ChainOfChips(topology, chips);
    ASSERT_TRUE(chain.ok()) << chain.status();
    std::vector<int> numbers;
    for (size_t i = 0; i < chain->size(); ++i) {
      numbers.push_back(static_cast<int>((*chain)[i].value()));
      if (i > 0) {
        EXPECT_FALSE(topology.LinksBetween((*chain)[i - 1], (*chain)[i]).empty()) << i;
      }
    }
    std::vector<int> all(chips);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_THAT(numbers, testing::UnorderedElementsAreArray(all));
  }
  EXPECT_FALSE(ChainOfChips(FirstChips(4), 5).ok());
}

// Layers on chips one after the other give the bits of all layers on one chip.
TEST(EncoderPipelineTest, ChipsInAChainGiveTheBitsOfOne) {
  constexpr int kChips = 3;
  std::mt19937 random{5};
  std::vector<encoders::Weights> weights;
  for (int i = 0; i < kChips; ++i) weights.push_back(encoders::RandomWeights(random, kSmall));
  const encoders::Floats x = RandomFloats(random, kSmall.positions * kLanes, -1.5, 1.5);
  const auto start = [&](HostMemory& memory, const EncoderMap& map) {
    WriteEncoderTables(kSmall, map, memory);
    for (int t = 0; t < kSmall.positions; ++t) {
      StoreQuad(memory, map.x + t, std::span(x).subspan(t * kLanes, kSmall.hidden()));
    }
  };
  OneChip one;
  const EncoderMap whole(kSmall, kChips);
  start(one.memory, whole);
  PlaceEncoderInput(one.placer, one.timing, kSmall, whole);
  for (int i = 0; i < kChips; ++i) {
    encoders::StoreLayer(one.memory, kSmall, whole.layers[i], weights[i]);
    PlaceEncoderLayer(one.placer, one.timing, kSmall, whole, whole.layers[i]);
  }
  ASSERT_NO_FATAL_FAILURE(one.Run());

  const Topology topology = FirstChips(kChips);
  const LinkModel links = *LinkModel::Create();
  const ChipTiming timing = *MakeTiming({}, links);
  const auto chip = CompileEncoderChip(kSmall, 1, timing);
  ASSERT_TRUE(chip.ok()) << chip.status();
  const auto chain = *ChainOfChips(topology, kChips);
  const auto p = PipelineOf(*chip, 1, topology, chain, links, timing);
  ASSERT_TRUE(p.ok()) << p.status();
  std::vector<std::unique_ptr<FunctionalEngine>> engines;
  std::vector<Engine*> pointers;
  for (int i = 0; i < kChips; ++i) {
    engines.push_back(std::make_unique<FunctionalEngine>(i, timing, nullptr, Sram::Pages::kSmall));
    pointers.push_back(engines.back().get());
  }
  for (int i = 0; i < kChips; ++i) {
    EngineMemory memory(engines[chain[i].value()]->sram());
    start(memory, chip->map);
    encoders::StoreLayer(memory, kSmall, chip->map.layers[0], weights[i]);
  }
  auto fabric = *LocalFabric::Create(*MakeWiring(topology, kChips, links, timing), 1);
  const auto fault = Fleet(fabric.get(), pointers).Run(p->launches);
  ASSERT_FALSE(fault) << fault->ToString();
  EngineMemory last(engines[chain.back().value()]->sram());
  for (int t = 0; t < kSmall.positions; ++t) {
    EXPECT_EQ(LoadQuad(last, chip->map.x + t), LoadQuad(one.memory, whole.x + t)) << t;
  }
}

TEST(EncoderPipelineTest, InferencesFollowEachOtherInTheIntervalAndNoSooner) {
  const Topology topology = FirstChips(4);
  const LinkModel links = *LinkModel::Create();
  const ChipTiming timing = *MakeTiming({}, links);
  const auto chip = CompileEncoderChip(kSmall, 1, timing);
  ASSERT_TRUE(chip.ok()) << chip.status();
  const auto p = PipelineOf(*chip, 3, topology, *ChainOfChips(topology, 4), links, timing);
  ASSERT_TRUE(p.ok()) << p.status();
  const absl::Status run = RunLaunches(p->launches, topology, links, timing);
  EXPECT_TRUE(run.ok()) << run;
  // 32 vectors of four planes, 23.616 cycles each, and a hop.
  EXPECT_GT(p->transfer_cycles, 32 * 4 * 23.616);
  EXPECT_LT(p->transfer_cycles, 32 * 4 * 24.5 + 600);
  for (const Launches& launches : p->launches) {
    for (size_t i = 1; i < launches.size(); ++i) {
      EXPECT_GE(launches[i].start, launches[i - 1].start + launches[i - 1].schedule->end);
    }
  }
}

TEST(EncoderPipelineTest, PublicationsRunItOn1To16Chips) {
  const auto rows = RunEncoderPipelines(kSmall, 2, kTopologies, ChipTiming::Default());
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 4u);
  for (size_t i = 1; i < rows->size(); ++i) {
    const double per_chip = double((*rows)[i].cycles) / (*rows)[i].chips;
    EXPECT_GT(per_chip, (*rows)[0].cycles);
    EXPECT_LT(per_chip, 1.4 * (*rows)[0].cycles);  // a transfer is a quarter of the layers here
  }
  EXPECT_THAT(RunEncoderPipelines({384, 16, 64, 4096}, 9, kTopologies, ChipTiming::Default())
                  .status()
                  .message(),
              testing::HasSubstr("weights and KV cache take"));
}

}  // namespace
}  // namespace lockstep
