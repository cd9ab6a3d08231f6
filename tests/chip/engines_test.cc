// One program, two engines: random programs give the same fault, or the same digest and sends, on the
// functional and on the timing engine, also in a second execution from what the first one left.
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "chip/functional.h"
#include "chip/timing.h"
#include "gtest/gtest.h"
#include "tests/chip/timing_random.h"

namespace lockstep {
namespace {

// The same script with payloads.
class PayloadPort : public ScriptedPort {
 public:
  explicit PayloadPort(const ScriptedPort& script) : ScriptedPort(script) {}
  Poll Peek(int link, Arrival* out) override {
    const Poll poll = ScriptedPort::Peek(link, out);
    out->payload = &payload_;
    return poll;
  }

 private:
  Vector payload_;
};

std::string Execute(Engine& engine, std::shared_ptr<const Schedule> schedule, LinkPort& port,
                    int* kind) {
  engine.Start(std::move(schedule));
  EngineState state = engine.Run(port);
  while (state == EngineState::kBlocked) state = engine.Run(port);
  *kind = -1;
  if (state == EngineState::kDone) return absl::StrCat("digest ", engine.timing_digest());
  *kind = static_cast<int>(engine.fault().kind);
  Fault fault = engine.fault();
  fault.detail.clear();
  return fault.ToString();
}

TEST(EnginesTest, AgreeOnFaultsAndDigestsOfRandomPrograms) {
  std::map<int, int> seen;
  for (uint32_t seed = 0; seed < 600; ++seed) {
    ChipTiming timing = ChipTiming::Default();
    if (seed % 3 == 1) timing.d_func[static_cast<int>(Opcode::kIw)] = 7, timing.receive_fifo = 1;
    if (seed % 3 == 2) timing.mxm_array = 5, timing.receive_turnaround = 13;
    RandomProgram random(seed, /*values=*/false, timing);
    const std::shared_ptr<const Schedule> schedule = random.Generate(20 + seed % 100);
    FunctionalEngine functional(0, timing);
    TimingEngine times(0, timing);
    int kind = -1;
    for (int execution = 0; execution < 2 && kind < 0; ++execution) {
      PayloadPort a(random.port());
      ScriptedPort b = random.port();
      int other = -1;
      const std::string expected = Execute(times, schedule, b, &other);
      ASSERT_EQ(Execute(functional, schedule, a, &kind), expected)
          << "seed " << seed << " execution " << execution;
      ASSERT_EQ(a.sent, b.sent) << "seed " << seed;
      ++seen[kind];
    }
  }
  EXPECT_GT(seen[-1], 100);  // whole programs
  EXPECT_GT(seen.size(), 12u) << "most kinds of fault should have been met";
}

}  // namespace
}  // namespace lockstep
