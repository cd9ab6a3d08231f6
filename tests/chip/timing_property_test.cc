// Random programs: the timing engine finds the fault, or the operand ages, of the slow reference.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "chip/timing.h"
#include "tests/chip/timing_random.h"

namespace lockstep {
namespace {

class Ages : public Observer {
 public:
  void OnRun(uint32_t, const RunRetired& run) override {
    ASSERT_EQ(run.run, static_cast<int32_t>(ages.size()));
    ages.push_back(run.operand_age);
  }
  std::vector<int64_t> ages;
};

std::string Describe(const std::optional<Fault>& f) {
  if (!f) return "no fault";
  std::string args;
  for (int32_t a : f->instruction.arg) absl::StrAppend(&args, " ", a);
  return absl::StrCat("kind ", static_cast<int>(f->kind), " ", QueueName(f->queue), " @", f->cycle, " ",
                      Info(f->instruction.op).name, args);
}

ChipTiming TimingOf(uint32_t seed) {
  ChipTiming t = ChipTiming::Default();
  if (seed % 3 == 1) t.d_func[static_cast<int>(Opcode::kIw)] = 7, t.receive_fifo = 1;
  if (seed % 3 == 2) t.mxm_array = 5, t.receive_turnaround = 13, t.receive_fifo = 3;
  if (seed % 50 == 7) t.mxm_array = 0, t.receive_fifo = 0;
  return t;
}

EngineState RunToEnd(Engine& engine, LinkPort& port) {
  EngineState state = engine.Run(port);
  for (int i = 0; state == EngineState::kBlocked && i < 1000; ++i) {
    EXPECT_GE(engine.blocked_link(), 0);
    state = engine.Run(port);
  }
  return state;
}

// Two executions, the second from the MXM state that the first one left.
std::string Compare(uint32_t seed, std::map<int, int>& seen) {
  const ChipTiming timing = TimingOf(seed);
  RandomSchedule random(seed, true, timing);
  const std::shared_ptr<const Schedule> schedule = random.Generate(20 + seed % 150);
  Reference::State state;
  Ages observed;
  TimingEngine engine(0, timing, &observed);
  for (int execution = 0; execution < 2; ++execution) {
    ScriptedPort port = random.port();
    for (const Run& run : schedule->runs) {
      if (run.instr.op == Opcode::kReceive && seed % 2 == 0) {
        port.stutters[Queue(run.queue).instance] += run.count;
      }
    }
    Reference expected(*schedule, timing, port, state);
    expected.Execute();
    observed.ages.clear();
    engine.Start(schedule);
    const EngineState end = RunToEnd(engine, port);
    std::optional<Fault> found;
    if (end == EngineState::kFault) found = engine.fault();
    ++seen[found ? static_cast<int>(found->kind) : -1];
    if (Describe(found) != Describe(expected.fault)) {
      return absl::StrCat("seed ", seed, " execution ", execution, ": found ", Describe(found),
                          ", expected ", Describe(expected.fault));
    }
    if (port.sent != expected.sent) return absl::StrCat("seed ", seed, ": other vectors sent");
    if (found) return "";
    if (observed.ages != expected.ages) return absl::StrCat("seed ", seed, ": other ages");
  }
  return "";
}

TEST(TimingPropertyTest, RandomProgramsMatchTheSlowReference) {
  std::map<int, int> seen;
  int wrong = 0;
  const char* more = std::getenv("LOCKSTEP_PROPERTY_SEEDS");  // for a longer search
  const uint32_t seeds = more != nullptr ? std::stoul(more) : 4000;
  for (uint32_t seed = 0; seed < seeds && wrong < 5; ++seed) {
    const std::string difference = Compare(seed, seen);
    EXPECT_EQ(difference, "");
    wrong += !difference.empty();
  }
  // The programs are worth something only if they reach every rule.
  for (FaultKind kind :
       {FaultKind::kBadInstruction, FaultKind::kBankConflict, FaultKind::kPortConflict,
        FaultKind::kStreamConflict, FaultKind::kStreamEmpty, FaultKind::kBufferFull,
        FaultKind::kBufferEmpty, FaultKind::kPlaneBusy, FaultKind::kPlaneEmpty,
        FaultKind::kNoResult, FaultKind::kTypeMismatch, FaultKind::kLinkSlot,
        FaultKind::kLinkAbsent, FaultKind::kReceiveEmpty, FaultKind::kReceiveMissing,
        FaultKind::kFifoOverflow}) {
    EXPECT_GT(seen[static_cast<int>(kind)], 0) << static_cast<int>(kind);
  }
  EXPECT_GT(seen[-1], 100);
  for (const auto& [kind, count] : seen) RecordProperty(absl::StrCat("kind", kind), count);
}

}  // namespace
}  // namespace lockstep
