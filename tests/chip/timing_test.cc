// The timing engine rule by rule: legal in one cycle, a Fault in the next (docs/machine.md).
#include "chip/timing.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "tests/chip/timing_random.h"

namespace lockstep {
namespace {

using Kind = FaultKind;
using Drafts = std::vector<Draft>;

constexpr int kE0 = 0, kE1 = 1;

// Shorthand for the programs below.
Draft Read(int slice, int64_t t, int address, int stride = 0, int count = 1, int out = kE0) {
  return {MemQueue(slice), t, Make(Opcode::kRead, {address, stride, out}), count};
}
Draft Write(int slice, int64_t t, int address, int in = kE0) {
  return {MemQueue(slice), t, Make(Opcode::kWrite, {address, 0, in})};
}
// A counter value that stands on `out` at the queue's position from cycle t on, `count` cycles long.
Draft Feed(int queue, int64_t t, int out = kE0, int count = 1) {
  return {queue, t - 1, Make(Opcode::kHac, {out}), count};
}
// A receive that accesses word `address` of slice 0 in cycle t.
Draft Arrive(int64_t t, int address) {
  return {C2cQueue(0), t - 1, Make(Opcode::kReceive, {0, address, 0})};
}
Draft Receive(int64_t t) { return {C2cQueue(0), t, Make(Opcode::kReceive, {50, 0, 0})}; }
Draft Transmit(int64_t t) { return {C2cQueue(0), t, Make(Opcode::kTransmit, {})}; }
Draft Mxm(int plane, int queue_class, int64_t t, Opcode op, std::vector<int32_t> args) {
  return {MxmQueue(plane, queue_class), t, Make(op, std::move(args))};
}
Draft Iw(int64_t t, int type = kTypeI8, int plane = 0) {
  return Mxm(plane, kMxmIw, t, Opcode::kIw, {type});
}
Draft Lw(int64_t t, int row, int type = kTypeI8) {
  return Mxm(0, kMxmLw, t, Opcode::kLw, {type, row, 0, 2, kE0});
}
Draft AbcStream(int64_t t, int type = kTypeI8, int plane = 0) {
  return Mxm(plane, kMxmAbc, t, Opcode::kAbcStream, {type, 0, kE0});
}
Draft AbcFeed(int64_t t, int entry) { return Mxm(0, kMxmAbc, t, Opcode::kAbcFeed, {0, entry, 0}); }
Draft Acc(int64_t t, int type = kTypeI8) {
  return Mxm(0, kMxmAcc, t, Opcode::kAcc, {type, 0, 0, 0, kNoStream});
}
// Streams e0 and e1 hold something at the west end in cycles 0..count - 1.
Drafts West(int count, Drafts more) {
  more.push_back({SxmQueue(Hemisphere::kWest, 0), 0, Make(Opcode::kHac, {32}), count});
  more.push_back({SxmQueue(Hemisphere::kWest, 1), 0, Make(Opcode::kHac, {33}), count});
  for (Draft& d : more) {
    // What the shorthand calls e0 comes from the east at the west end.
    if (Queue(d.queue).unit != Unit::kMxm) continue;
    const int k = d.instr.op == Opcode::kLw ? 4 : d.instr.op == Opcode::kAbcStream ? 2 : 0;
    if (k > 0) d.instr.arg[k] += 32;
    if (d.instr.op == Opcode::kAbcLoad) d.instr.arg[3] += 32;
  }
  return more;
}

struct Expected {
  Kind kind;
  int queue;
  int64_t cycle;
};

struct Rule {
  std::string name;
  std::function<Drafts(int64_t t)> program;
  std::map<int64_t, std::optional<Expected>> at;  // by t: legal or which fault
  std::vector<int64_t> arrivals = {0};            // on link 0
  int32_t iw = 1;                                 // d_func
};
std::ostream& operator<<(std::ostream& os, const Rule& rule) { return os << rule.name; }

constexpr std::nullopt_t kLegal = std::nullopt;
constexpr int kC0 = kC2cQueue0, kAcc0 = kMxmQueue0, kAbc0 = kAcc0 + 1, kIw0 = kAcc0 + 2,
              kLw0 = kAcc0 + 3, kAbc1 = kAcc0 + 5;

std::vector<Rule> MemoryRules() {
  return {
      {"OneAccessToABankPerCycle", [](int64_t t) { return Drafts{Read(0, 10, 0), Arrive(t, 4095)}; },
       {{9, kLegal}, {10, Expected{Kind::kBankConflict, kC0, 10}}, {11, kLegal}}},
      {"TwoBanksOfASliceAreIndependent",
       [](int64_t t) { return Drafts{Read(0, 10, 0), Arrive(t, 4096)}; }, {{10, kLegal}}},
      {"OneWritePerSliceAndCycle",
       [](int64_t t) { return Drafts{Feed(1, 10), Write(0, 10, 0), Arrive(t, 4096)}; },
       {{9, kLegal}, {10, Expected{Kind::kPortConflict, kC0, 10}}, {11, kLegal}}},
      {"GatherHoldsBothBanks",
       [](int64_t t) {
         return Drafts{Feed(1, 10), {0, 10, Make(Opcode::kGather, {0, 0, kE0, kE1})},
                       Arrive(t, 4096)};
       },
       {{9, kLegal}, {10, Expected{Kind::kBankConflict, kC0, 10}}, {11, kLegal}}},
      // 4094, 4095 | 4096, 4097: the second bank from cycle 12 on.
      {"AStrideChangesTheBank",
       [](int64_t t) { return Drafts{Read(0, 10, 4094, 1, 4), Arrive(t, 4100)}; },
       {{11, kLegal}, {12, Expected{Kind::kBankConflict, kC0, 12}},
        {13, Expected{Kind::kBankConflict, kC0, 13}}, {14, kLegal}}},
  };
}

std::vector<Rule> StreamRules() {
  return {
      {"TwoWritersMeet", [](int64_t t) { return Drafts{Read(0, 10, 0), Read(1, t, 0)}; },
       {{9, kLegal}, {10, Expected{Kind::kStreamConflict, 1, 10}}, {11, kLegal}}},
      // A read stands on its stream after 3 cycles, a counter after 1: the later dispatch is charged.
      {"TheLaterDispatchIsCharged", [](int64_t t) { return Drafts{Read(1, 10, 0), Feed(0, t)}; },
       {{12, kLegal}, {13, Expected{Kind::kStreamConflict, 0, 12}}, {14, kLegal}}},
      // From position 13 in cycle 11 to position 14 in cycle 12.
      {"AValueIsThereInOneCycleOnly",
       [](int64_t t) { return Drafts{Feed(VxmQueue(0), 11), Write(44, t, 0)}; },
       {{11, Expected{Kind::kStreamEmpty, 44, 11}}, {12, kLegal},
        {13, Expected{Kind::kStreamEmpty, 44, 13}}}},
      {"AnIfetchReadsTwoCycles",
       [](int64_t t) {
         return Drafts{Feed(VxmQueue(0), 11, kE0, 2), {44, t, Make(Opcode::kIfetch, {kE0})}};
       },
       {{11, Expected{Kind::kStreamEmpty, 44, 11}}, {12, kLegal},
        {13, Expected{Kind::kStreamEmpty, 44, 14}}}},
  };
}

std::vector<Rule> MxmRules() {
  constexpr int h = kTypeF16;
  return {
      {"ARowIsLoadedOnce", [](int64_t t) { return West(40, {Lw(20, 0), Iw(22), Lw(t, 1)}); },
       {{21, Expected{Kind::kBufferFull, kLw0, 21}}, {22, kLegal}, {23, kLegal}}},
      {"AnEntryIsFedAfterItsLoad",
       [](int64_t t) {
         return West(40, {Iw(5), Mxm(0, kMxmAbc, 20, Opcode::kAbcLoad, {0, 3, 0, kE0}),
                          AbcFeed(t, 3)});
       },
       {{19, Expected{Kind::kBufferEmpty, kAbc0, 19}}, {21, kLegal}}},
      {"APlaneIsBusyWhileItInstalls",
       [](int64_t t) { return West(40, {Iw(5), Iw(20), AbcStream(t)}); },
       {{19, kLegal}, {20, Expected{Kind::kPlaneBusy, kIw0, 20}},
        {21, Expected{Kind::kPlaneBusy, kAbc0, 21}}, {24, Expected{Kind::kPlaneBusy, kAbc0, 24}},
        {25, kLegal}},
       {}, 5},
      {"ATandemInstallKeepsBothPlanesBusy",
       [](int64_t t) { return West(40, {Iw(5, 0, 1), Iw(20, h), AbcStream(t, 0, 1)}); },
       {{19, kLegal}, {20, Expected{Kind::kPlaneBusy, kAbc1, 20}},
        {21, Expected{Kind::kTypeMismatch, kAbc1, 21}}}},
      {"AFeedNeedsAnInstall", [](int64_t t) { return West(40, {Iw(20), AbcStream(t)}); },
       {{19, Expected{Kind::kPlaneEmpty, kAbc0, 19}}, {21, kLegal}}},
      {"AnInstallOfI8EndsTheTandem",
       [](int64_t t) { return West(40, {Iw(5, h), Iw(20, 0, 1), AbcStream(t, h)}); },
       {{19, kLegal}, {21, Expected{Kind::kPlaneEmpty, kAbc0, 21}}}},
      {"AnAccTakesTheResultOfItsCycle",  // 20 + 24 cycles of array
       [](int64_t t) { return West(40, {Iw(5), AbcStream(20), Acc(t)}); },
       {{43, Expected{Kind::kNoResult, kAcc0, 43}}, {44, kLegal},
        {45, Expected{Kind::kNoResult, kAcc0, 45}}}},
      {"AnAccTakesAResultOfItsType",
       [](int64_t t) { return West(40, {Iw(5), AbcStream(20), Acc(44, t ? h : 0)}); },
       {{0, kLegal}, {1, Expected{Kind::kTypeMismatch, kAcc0, 44}}}},
      {"ABufferHoldsOneType", [](int64_t t) { return West(40, {Lw(20, 0, h), Iw(25, h), Lw(t, 0)}); },
       {{24, Expected{Kind::kTypeMismatch, kLw0, 24}}, {25, kLegal}}},
      {"RowsEndAt320", [](int64_t t) { return West(40, {Lw(20, static_cast<int>(t))}); },
       {{318, kLegal}, {319, Expected{Kind::kBadInstruction, kLw0, 20}}}},
      {"F16BelongsToTheEvenPlane",
       [](int64_t t) { return Drafts{Iw(20, h, static_cast<int>(t))}; },
       {{0, kLegal}, {1, Expected{Kind::kBadInstruction, kIw0 + 4, 20}}, {2, kLegal}}},
  };
}

std::vector<Rule> LinkRules() {
  const auto receives = [](int64_t first) {
    return Drafts{Receive(first), Receive(40), Receive(50)};
  };
  return {
      // 2952 / 125 = 23.6 cycles.
      {"ALinkSendsOneVectorAtATime", [](int64_t t) { return Drafts{Transmit(0), Transmit(t)}; },
       {{22, Expected{Kind::kLinkSlot, kC0, 22}}, {23, kLegal}, {24, kLegal}}, {}},
      // The second leaves at 23.616, the third can at 47.232.
      {"ALinkKeepsTheFractionOfACycle",
       [](int64_t t) { return Drafts{Transmit(0), Transmit(23), Transmit(t)}; },
       {{46, Expected{Kind::kLinkSlot, kC0, 46}}, {47, kLegal}}, {}},
      {"AReceiveNeedsAVector", [](int64_t t) { return Drafts{Receive(t)}; },
       {{29, Expected{Kind::kReceiveEmpty, kC0, 29}}, {30, kLegal}, {31, kLegal}}, {30}},
      {"AVectorIsReceived", [](int64_t t) { return t ? Drafts{Receive(t)} : Drafts{Read(0, 9, 0)}; },
       {{0, Expected{Kind::kReceiveMissing, kC0, 10}}, {30, kLegal}}, {30}},
      {"AReceiveInTheCycleOfAnArrivalFreesItsPlace", receives,
       {{29, kLegal}, {30, kLegal}, {31, Expected{Kind::kFifoOverflow, kC0, 30}}}, {10, 20, 30}},
      {"ASendNeedsACable",
       [](int64_t t) {
         return Drafts{{C2cQueue(static_cast<int>(t)), 7, Make(Opcode::kTransmit, {})}};
       },
       {{0, kLegal}, {3, Expected{Kind::kLinkAbsent, kC0 + 3, 7}}}, {}},
  };
}

class TimingRuleTest : public ::testing::TestWithParam<Rule> {};

TEST_P(TimingRuleTest, HoldsToTheCycle) {
  const Rule& rule = GetParam();
  ChipTiming timing = ChipTiming::Default();
  timing.d_func[static_cast<int>(Opcode::kIw)] = rule.iw;
  for (const auto& [t, expected] : rule.at) {
    const auto schedule = MakeSchedule(rule.program(t));
    ScriptedPort port;
    port.cabled[0] = true;
    for (const lockstep::Run& run : schedule->runs) {
      if (run.instr.op == Opcode::kReceive) port.arrivals[0] = rule.arrivals;
    }
    if (rule.name == "AVectorIsReceived") port.arrivals[0] = rule.arrivals;
    TimingEngine engine(4, timing);
    engine.Start(schedule);
    const EngineState end = engine.Run(port);
    ASSERT_EQ(end == EngineState::kFault, expected.has_value()) << "t = " << t;
    if (!expected) continue;
    EXPECT_EQ(engine.fault().kind, expected->kind) << "t = " << t;
    EXPECT_EQ(engine.fault().queue, expected->queue) << "t = " << t;
    EXPECT_EQ(engine.fault().cycle, expected->cycle) << "t = " << t;
    EXPECT_EQ(engine.fault().chip, 4u);
  }
}

std::string NameOf(const ::testing::TestParamInfo<Rule>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Mem, TimingRuleTest, ::testing::ValuesIn(MemoryRules()), NameOf);
INSTANTIATE_TEST_SUITE_P(Stream, TimingRuleTest, ::testing::ValuesIn(StreamRules()), NameOf);
INSTANTIATE_TEST_SUITE_P(Mxm, TimingRuleTest, ::testing::ValuesIn(MxmRules()), NameOf);
INSTANTIATE_TEST_SUITE_P(Link, TimingRuleTest, ::testing::ValuesIn(LinkRules()), NameOf);

}  // namespace
}  // namespace lockstep
