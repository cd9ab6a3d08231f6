// The product over a node: what owners hold is the sum of what the chips' products left.
#include "runtime/validation/distributed_matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "chip/functional.h"
#include "chip/timing.h"
#include "fabric/fleet.h"
#include "fabric/local_fabric.h"
#include "fabric/topology.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/topology_file.h"
#include "runtime/machine/verify.h"
#include "runtime/validation/publications.h"

namespace lockstep {
namespace {

constexpr char kTopologies[] = LOCKSTEP_SOURCE_DIR "/topologies";

struct Node {
  Topology topology = *Topology::Create(*LoadTopology("groqnode", kTopologies));
  LinkModel links = *LinkModel::Create();
  ChipTiming timing = *MakeTiming({}, links);
  Wiring wiring = *MakeWiring(topology, 8, links, timing);
};

// Halves between 1 and 2 of either sign, other ones on each chip, where operands lie: slices of
// rank 16 to 39 in pairs of low and high bytes.
void FillOperands(Sram& sram, int chip, int words) {
  uint32_t x = static_cast<uint32_t>(chip) + 1;
  for (const Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
    for (int rank = 16; rank < 40; ++rank) {
      for (int address = 0; address < words; ++address) {
        Vector v;
        for (uint8_t& byte : v.bytes) {
          x = x * 1664525u + 1013904223u;
          byte = static_cast<uint8_t>(rank % 2 == 0 ? x >> 24 : (x >> 31) << 7 | 0x3c);
        }
        sram.Store(SliceNumber(side, rank), address, v);
      }
    }
  }
}

float Load(const Sram& sram, Quad at, int lane) {
  uint32_t bits = 0;
  for (int k = 0; k < 4; ++k) {
    const Vector v = sram.Load(ColumnSlice(at.side, at.column, k), at.address);
    bits |= uint32_t{v.bytes[lane]} << (8 * k);
  }
  return std::bit_cast<float>(bits);
}

template <typename AnyEngine>
std::vector<uint64_t> RunNode(const Node& node, const DistributedMatmul& m,
                              const std::vector<std::unique_ptr<AnyEngine>>& engines) {
  auto fabric = *LocalFabric::Create(node.wiring, 1);
  std::vector<Engine*> pointers;
  for (const auto& engine : engines) pointers.push_back(engine.get());
  const auto fault = Fleet(fabric.get(), pointers).Run(m.chips);
  EXPECT_FALSE(fault) << fault->ToString();
  std::vector<uint64_t> digests;
  for (const auto& engine : engines) digests.push_back(engine->timing_digest());
  return digests;
}

TEST(DistributedMatmulTest, OwnersHoldTheSumsOfAllChipsProducts) {
  const Node node;
  const auto m = CompileDistributedMatmul(256, 8 * 2 * 160, 320, 1, node.links, node.timing);
  ASSERT_TRUE(m.ok()) << m.status();
  ASSERT_TRUE(VerifyLaunches(m->chips, std::vector<int64_t>(8, 0), node.wiring, node.timing).ok());
  std::vector<std::unique_ptr<FunctionalEngine>> engines;
  std::vector<std::unique_ptr<TimingEngine>> timed;
  for (int chip = 0; chip < 8; ++chip) {
    engines.push_back(
        std::make_unique<FunctionalEngine>(chip, node.timing, nullptr, Sram::Pages::kSmall));
    timed.push_back(std::make_unique<TimingEngine>(chip, node.timing));
    FillOperands(engines.back()->sram(), chip, 256);
  }
  EXPECT_EQ(RunNode(node, *m, engines), RunNode(node, *m, timed));
  for (int w = 0; w < 256; ++w) {
    for (int lane = 0; lane < 320; lane += 61) {
      float expected = 0;
      for (int chip = 0; chip < 8; ++chip) {
        expected += Load(engines[chip]->sram(), MatmulSum(m->shape, w, 0), lane);
      }
      EXPECT_NE(expected, 0.0f);
      ASSERT_EQ(Load(engines[m->Owner(w)]->sram(), m->sums[w], lane), expected) << w;
    }
  }
}

TEST(DistributedMatmulTest, CyclesAreThoseOfProductAndReduction) {
  const Node node;
  const auto m = CompileDistributedMatmul(800, 32576, 8192, 13, node.links, node.timing);
  ASSERT_TRUE(m.ok()) << m.status();
  // 26 x 1 tiles a hemisphere of 801 cycles each; then 1600 words, an eighth of them over each link.
  EXPECT_NEAR(static_cast<double>(m->product_cycles), 26 * 801, 200);
  const double wire = 1600 / 8 * 4 * 23.616 + 469;
  EXPECT_GT(static_cast<double>(m->cycles - m->reduction_start), wire);
  EXPECT_LT(static_cast<double>(m->cycles - m->reduction_start), 1.1 * wire + 200);
}

TEST(DistributedMatmulTest, WhatDoesNotFitIsRefusedWithTheNumbers) {
  const Node node;
  const auto m = CompileDistributedMatmul(800, 32576, 12800, 1, node.links, node.timing);
  ASSERT_FALSE(m.ok());
  // 26 x 20 tiles of 20 words.
  EXPECT_THAT(std::string(m.status().message()), testing::HasSubstr("10400 words a slice"));
}

TEST(PublicationsTest, RunOn8To104Chips) {
  const auto rows = RunPublications(kTopologies, ChipTiming::Default());
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 7u);
  EXPECT_EQ(rows->front().chips, 8);
  for (size_t i = 0; i < 6; ++i) {
    if (i > 0) {
      EXPECT_LT((*rows)[i].cycles, (*rows)[i - 1].cycles);
    }
    EXPECT_GT((*rows)[i].utilisation, 20);
  }
  EXPECT_GT(rows->back().cycles,
            4 * 1280 * 2561 * 2 / 20480);  // an LSTM step streams its weights once
  std::ifstream file(std::string(LOCKSTEP_SOURCE_DIR) + "/docs/validation.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_THAT(text.str(), testing::HasSubstr(PublicationTable(*rows)))
      << "regenerate docs/validation.md with `lockstep validate --publications`";
}

}  // namespace
}  // namespace lockstep
