// What a list of wires may not be, and what it says when it is right.
#include "fabric/wiring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chip/latency.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

std::string ErrorOf(uint32_t chips, std::vector<Wire> wires, int64_t ticks = 2952) {
  return std::string(Wiring::Create(chips, std::move(wires), ticks).status().message());
}

TEST(WiringTest, KnowsWhereEachLinkLeadsAndWhenAVectorArrives) {
  const auto w = Wiring::Create(3, {{0, 2, 5, 1, 217}, {1, 5, 2, 0, 300}}, 2952);
  ASSERT_TRUE(w.ok()) << w.status();
  EXPECT_EQ(w->outgoing(0, 2), 0);
  EXPECT_EQ(w->incoming(0, 2), 1);
  EXPECT_TRUE(w->cabled(1, 5));
  EXPECT_FALSE(w->cabled(2, 0));
  EXPECT_EQ(w->ArrivalCycle(0, 10 * kTicksPerCycle), 10 + 24 + 217);
  EXPECT_EQ(w->ArrivalCycle(1, 10 * kTicksPerCycle), 10 + 24 + 300);
}

TEST(WiringTest, ErrorsNameTheWire) {
  EXPECT_THAT(ErrorOf(0, {}), HasSubstr("at least one chip"));
  EXPECT_THAT(ErrorOf(2, {{0, 0, 0, 2, 217}}), HasSubstr("out of range: chip0 link0 -> chip2"));
  EXPECT_THAT(ErrorOf(2, {{0, 16, 0, 1, 217}}), HasSubstr("chip0 link16"));
  EXPECT_THAT(ErrorOf(2, {{0, 0, 0, 1, -1}}), HasSubstr("flight -1"));
  EXPECT_THAT(ErrorOf(2, {}, 0), HasSubstr("0 ticks"));
}

TEST(WiringTest, ALinkEndHoldsOneCableAndACableHasTwoDirections) {
  EXPECT_THAT(ErrorOf(2, {{0, 0, 0, 1, 1}, {0, 0, 1, 1, 1}}), HasSubstr("second wire"));
  EXPECT_THAT(ErrorOf(2, {{0, 0, 0, 1, 1}}), HasSubstr("lacks its opposite: chip0 link0"));
  EXPECT_THAT(ErrorOf(2, {{0, 0, 0, 1, 1}, {1, 0, 1, 0, 1}}), HasSubstr("lacks its opposite"));
}

TEST(WiringTest, ACableMayLeadBackToItsOwnChip) {
  EXPECT_EQ(ErrorOf(1, {{0, 0, 1, 0, 1}, {0, 1, 0, 0, 1}}), "");
}

}  // namespace
}  // namespace lockstep
