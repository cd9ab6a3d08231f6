// Framing, serialisation and hop latency against the published figures (ISCA'22).
#include "fabric/link_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using testing::HasSubstr;

TEST(LinkModelTest, AVectorIs41FlitsAnd328BytesOnTheWire) {
  EXPECT_EQ(kFlitsPerVector, 1 + 39 + 1);  // header, body, tail
  EXPECT_EQ(ToWire(PayloadBytes(320)), WireBytes(328));
  EXPECT_EQ(ToWire(PayloadBytes(3 * 320)), WireBytes(984));
  EXPECT_EQ(10000 * kVectorBytes / kWireBytes, 9756);  // 97.56 %
}

TEST(LinkModelTest, SerialisationFollowsFromLanesRateAndClock) {
  const auto model = LinkModel::Create();
  ASSERT_TRUE(model.ok()) << model.status();
  // 328 * 8 b / 100 Gb/s = 26.24 ns; * 900 MHz = 23.616 cycles; * 125 = 2952.
  EXPECT_EQ(model->vector_ticks(), 2952);
  EXPECT_EQ(model->vector_ticks(), ChipTiming::Default().link_ticks);
  // Goodput 320 B / 26.24 ns = 12.195 GB/s, as published within 0.5 %.
  const double seconds = 2952.0 / 125 / 900e6;
  EXPECT_NEAR(320 / seconds, 12.195e9, 0.005 * 12.195e9);
  EXPECT_NEAR(2952.0 / 125, 23.62, 0.005 * 23.62);
}

TEST(LinkModelTest, ThirtyGigabitLanesTakeFiveSixthsOfTheTime) {
  const auto model = LinkModel::Create("A", {.lane_bits_per_second = 30'000'000'000});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->vector_ticks(), 2460);  // 2952 * 25 / 30
}

TEST(LinkModelTest, ARateWithoutWholeTicksIsRefusedWithTheFraction) {
  const auto model = LinkModel::Create("A", {.lane_bits_per_second = 25'781'250'000});
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(std::string(model.status().message()), HasSubstr("/"));
  EXPECT_FALSE(LinkModel::Create("A", {.lanes = 0}).ok());
}

TEST(LinkModelTest, PresetsHaveThePublishedHops) {
  const auto a = LinkModel::Create("A"), b = LinkModel::Create("B"), c = LinkModel::Create("C");
  ASSERT_TRUE(a.ok() && b.ok() && c.ok());
  EXPECT_EQ(a->flight_cycles(), 217);
  EXPECT_EQ(b->flight_cycles(), 217 + kHacPeriod);
  EXPECT_EQ(c->flight_cycles(), 217);
  EXPECT_EQ(a->turnaround_cycles(), 0);
  EXPECT_EQ(b->turnaround_cycles(), 0);
  EXPECT_EQ(c->hop_cycles(), 650);  // 722 ns at 900 MHz
  EXPECT_NE(a->origin(), b->origin());
}

TEST(LinkModelTest, TheDefaultAgreesWithBothEndToEndFiguresAndTheOthersDoNot) {
  for (const char* preset : {"A", "B", "C"}) {
    const auto model = LinkModel::Create(preset);
    ASSERT_TRUE(model.ok());
    const double us_per_hop = static_cast<double>(model->hop_cycles()) / 900;
    const bool rack = std::abs(3 * us_per_hop - 1.6) <= 0.16;  // +-10 %
    const bool system = 5 * us_per_hop < 3;
    EXPECT_EQ(rack && system, preset == LinkModel::kDefaultPreset) << preset;
  }
}

TEST(LinkModelTest, AnUnknownPresetIsNamed) {
  const auto model = LinkModel::Create("D");
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(std::string(model.status().message()), HasSubstr("\"D\""));
}

TEST(LinkModelTest, ArrivesInTheFirstWholeCycleAfterTheLastBit) {
  const auto model = LinkModel::Create("A");
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->ArrivalCycle(0), 24 + 217);    // 23.616 -> 24
  EXPECT_EQ(model->ArrivalCycle(100), 124 + 217);
  EXPECT_EQ(LinkModel::ArrivalAfter(0, 2875, 0), 23);  // exactly 23 cycles
  EXPECT_EQ(LinkModel::ArrivalAfter(0, 2876, 0), 24);  // one tick more
}

TEST(LinkModelTest, PrintsItself) {
  EXPECT_THAT(LinkModel::Create("B")->ToString(), HasSubstr("hop latency B: 469 cycles flight"));
}

}  // namespace
}  // namespace lockstep
