// Two engines, one program: the functional and the timing engine give the same fault or the same
// digest, on random programs.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "chip/functional.h"
#include "chip/timing.h"
#include "tests/chip/timing_random.h"

namespace lockstep {
namespace {

struct Outcome {
  bool failed = false;
  Fault fault{FaultKind::kUntested, 0, 0, 0, {}, ""};
  uint64_t digest = 0;
  std::vector<std::pair<int, int64_t>> sent;
};

Outcome Execute(Engine& engine, const std::shared_ptr<const Schedule>& schedule,
                ScriptedPort port) {
  engine.Start(schedule);
  Outcome out;
  out.failed = engine.Run(port) == EngineState::kFault;
  if (out.failed) out.fault = engine.fault();
  out.digest = engine.timing_digest();
  out.sent = port.sent;
  return out;
}

std::string Text(const Outcome& o) {
  if (!o.failed) return absl::StrCat("digest ", o.digest);
  const Fault& f = o.fault;
  std::string text = absl::StrCat("kind ", static_cast<int>(f.kind), " ", QueueName(f.queue), " @",
                                  f.cycle, " ", Info(f.instruction.op).name);
  for (int32_t a : f.instruction.arg) absl::StrAppend(&text, " ", a);
  return text;
}

// A fault that only values show: the timing engine goes past it.
bool IsAboutValues(const Outcome& o) {
  return o.failed &&
         (o.fault.kind == FaultKind::kBadAddress || o.fault.kind == FaultKind::kNotBijective);
}

class EnginesAgreeTest : public ::testing::TestWithParam<bool> {};

TEST_P(EnginesAgreeTest, OnRandomPrograms) {
  const bool values = GetParam();
  int done = 0, failed = 0, wrong = 0;
  for (uint32_t seed = 0; seed < 600 && wrong < 5; ++seed) {
    ChipTiming timing = ChipTiming::Default();
    if (seed % 2 == 1) {
      timing = timing.Scaled(150);
      timing.receive_turnaround = 9;
      timing.receive_fifo = 1;
    }
    RandomSchedule random(seed + 1'000'000, values, timing);
    const std::shared_ptr<const Schedule> schedule = random.Generate(20 + seed % 150);
    FunctionalEngine functional(2, timing);
    TimingEngine engine(2, timing);
    for (int execution = 0; execution < 3; ++execution) {
      const Outcome expected = Execute(functional, schedule, random.port());
      const Outcome found = Execute(engine, schedule, random.port());
      if (IsAboutValues(expected)) {
        EXPECT_FALSE(found.failed && found.fault.Before(expected.fault)) << "seed " << seed;
        break;
      }
      EXPECT_EQ(Text(found), Text(expected)) << "seed " << seed << " execution " << execution;
      EXPECT_EQ(found.sent, expected.sent) << "seed " << seed;
      wrong += Text(found) != Text(expected);
      ++(found.failed ? failed : done);
      if (found.failed || expected.failed) break;
    }
  }
  EXPECT_GT(done, 200);
  EXPECT_GT(failed, 40);
}

std::string NameOf(const ::testing::TestParamInfo<bool>& info) {
  return info.param ? "WithMapsFromValues" : "WithoutMaps";
}
INSTANTIATE_TEST_SUITE_P(Random, EnginesAgreeTest, ::testing::Values(false, true), NameOf);

}  // namespace
}  // namespace lockstep
