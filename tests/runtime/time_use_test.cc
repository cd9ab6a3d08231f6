// Where cycles go: every one counted once, for the kind that hides the others.
#include "runtime/run/time_use.h"

#include "gtest/gtest.h"

namespace lockstep {
namespace {

TEST(TimeUseTest, EachCycleCountsOnceForTheFirstKindUnderWay) {
  const std::vector<Placer::Span> spans = {
      {"all-gather", 0, 49}, {"rotary", 20, 29}, {"q", 25, 39}, {"scores", 38, 44}};
  // 0..19 links, 20..24 vectors, 25..39 weights, 40..44 attention, 45..49 links, 50..59 idle.
  EXPECT_EQ(MeasureTime({{0, &spans}}, 60), (TimeUse{15, 5, 5, 25, 10}));
}

TEST(TimeUseTest, ProgramsStandWhereTheyStart) {
  const std::vector<Placer::Span> spans = {{"gate", 0, 9}};
  EXPECT_EQ(MeasureTime({{0, &spans}, {5, &spans}, {90, &spans}}, 95), (TimeUse{20, 0, 0, 0, 75}));
  EXPECT_EQ(MeasureTime({}, 7), (TimeUse{0, 0, 0, 0, 7}));
}

TEST(TimeUseTest, EveryKindHasAName) {
  EXPECT_STREQ(WorkKindName(KindOf("down")), "weights");
  EXPECT_STREQ(WorkKindName(KindOf("weigh values")), "attention");
  EXPECT_STREQ(WorkKindName(KindOf("send hidden")), "links");
  EXPECT_STREQ(WorkKindName(KindOf("rmsnorm apply")), "vectors");
  EXPECT_STREQ(WorkKindName(WorkKind::kIdle), "idle");
}

}  // namespace
}  // namespace lockstep
