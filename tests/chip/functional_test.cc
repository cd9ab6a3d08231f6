// Values through the functional engine: SRAM, streams, VXM, overwritten words, links, runs.
#include "chip/functional.h"

#include "chip/numerics.h"
#include "tests/chip/functional_fixture.h"

namespace lockstep {
namespace {

TEST_F(FunctionalTest, AWordReadArrivesAfterItsLatencyAndTheHops) {
  const Vector v = StoreRandom(kFrom, 7);
  ProgramBuilder p;
  p.At(10, MemQueue(kFrom), Op(Opcode::kRead, {7, 0, E(5)}));
  // Position 12 to position 14: two hops.
  p.At(10 + OpCycles(Opcode::kRead) + 2, MemQueue(kTo), Op(Opcode::kWrite, {9, 0, E(5)}));
  RunWell(p);
  EXPECT_EQ(engine.sram().Load(kTo, 9), v);
}

TEST_F(FunctionalTest, StridesAdvanceAddresses) {
  std::vector<Vector> v;
  for (int i = 0; i < 5; ++i) v.push_back(StoreRandom(kFrom, 100 - 3 * i));
  ProgramBuilder p;
  p.At(0, MemQueue(kFrom), Op(Opcode::kRead, {100, -3, E(0)}), 5, 2);
  p.At(5, MemQueue(kTo), Op(Opcode::kWrite, {20, 7, E(0)}), 5, 2);
  RunWell(p);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(engine.sram().Load(kTo, 20 + 7 * i), v[i]) << i;
}

TEST_F(FunctionalTest, ChainedAlusComputeOnByteplanesAndOnEachOthersResults) {
  std::vector<float> a(kLanes), b(kLanes);
  for (int i = 0; i < kLanes; ++i) a[i] = 0.5f * i - 7, b[i] = 1.25f - i;
  StoreGroup(0, 1, a);
  StoreGroup(4, 2, b);
  ProgramBuilder p;
  Bring(p, 20, kVxm, E(0), 0, 1, 4);
  Bring(p, 20, kVxm, E(4), 4, 2, 4);
  p.At(20, VxmQueue(0), Op(Opcode::kAdd, {kTypeF32, 0, E(0), E(4), 0, E(8)}));
  // 3.0f as an immediate; the result replaces what flows on e0.
  p.At(22, VxmQueue(1), Op(Opcode::kMul, {kTypeF32, 0, E(8), kNoStream, 0x40400000, E(0)}));
  Take(p, 24, kVxm, E(0), kTo, 3, 4);
  RunWell(p);
  const std::vector<float> got = LoadGroup<float>(kTo, 3);
  for (int i = 0; i < kLanes; ++i) EXPECT_EQ(got[i], (a[i] + b[i]) * 3.0f) << i;
}

TEST_F(FunctionalTest, ConvertNarrowsAndWidens) {
  std::vector<int32_t> a(kLanes);
  for (int i = 0; i < kLanes; ++i) a[i] = 3 * (i - 160);
  StoreGroup(0, 0, a);
  ProgramBuilder p;
  Bring(p, 20, kVxm, E(0), 0, 0, 4);
  p.At(20, VxmQueue(0), Op(Opcode::kConvert, {kTypeI32, kTypeF16, E(0), E(4)}));
  p.At(22, VxmQueue(1), Op(Opcode::kConvert, {kTypeF16, kTypeF32, E(4), E(8)}));
  p.At(24, VxmQueue(2), Op(Opcode::kNegate, {kTypeF32, E(8), E(8)}));
  Take(p, 26, kVxm, E(8), kTo, 0, 4);
  RunWell(p);
  const std::vector<float> got = LoadGroup<float>(kTo, 0);
  for (int i = 0; i < kLanes; ++i) EXPECT_EQ(got[i], static_cast<float>(-a[i])) << i;
}

TEST_F(FunctionalTest, EveryOperationOfOneOperandIsItsOwn) {
  const std::pair<Opcode, UnaryOp> operations[] = {
      {Opcode::kNegate, UnaryOp::kNegate}, {Opcode::kAbs, UnaryOp::kAbs},
      {Opcode::kRelu, UnaryOp::kRelu},     {Opcode::kTanh, UnaryOp::kTanh},
      {Opcode::kExp, UnaryOp::kExp},       {Opcode::kRsqrt, UnaryOp::kRsqrt}};
  std::vector<float> a(kLanes), want(kLanes);
  for (int i = 0; i < kLanes; ++i) a[i] = 0.05f * (i - 100);
  for (const auto& [opcode, op] : operations) {
    StoreGroup(0, 0, a);
    ProgramBuilder p;
    Bring(p, 20, kVxm, E(0), 0, 0, 4);
    p.At(20, VxmQueue(0), Op(opcode, {kTypeF32, E(0), E(4)}));
    Take(p, 20 + OpCycles(opcode), kVxm, E(4), kTo, 0, 4);
    RunWell(p);
    VxmUnary(op, NumericType::kFp32, a.data(), want.data(), kLanes);
    const std::vector<float> got = LoadGroup<float>(kTo, 0);
    EXPECT_EQ(std::memcmp(got.data(), want.data(), sizeof(float) * kLanes), 0) << Info(opcode).name;
  }
}

TEST_F(FunctionalTest, APlaneOfAGroupCanBeTakenAlone) {
  std::vector<int16_t> a(kLanes);
  for (int i = 0; i < kLanes; ++i) a[i] = static_cast<int16_t>(257 * i);
  StoreGroup(0, 0, a);
  ProgramBuilder p;
  Bring(p, 20, kVxm, E(0), 0, 0, 2);
  p.At(20, VxmQueue(0), Op(Opcode::kAdd, {kTypeI16, 0, E(0), kNoStream, 5, E(2)}));
  p.At(22, VxmQueue(1), Op(Opcode::kNegate, {kTypeI8, E(3), E(3)}));
  Take(p, 24, kVxm, E(3), kTo, 0);
  RunWell(p);
  const std::vector<int8_t> got = LoadGroup<int8_t>(kTo, 0);
  for (int i = 0; i < kLanes; ++i) {
    const int high = static_cast<int8_t>(static_cast<uint16_t>(a[i] + 5) >> 8);
    EXPECT_EQ(got[i], high == -128 ? 127 : -high) << i;
  }
}

TEST_F(FunctionalTest, AValueThatFlowsDoesNotChangeWhenItsWordIsOverwritten) {
  const Vector old = StoreRandom(kFrom, 7), fresh = StoreRandom(kFrom + 4, 8);
  ProgramBuilder p;
  // Both reads pass far: the old value is still under way when the write comes.
  p.At(10, MemQueue(kFrom), Op(Opcode::kRead, {7, 0, E(1)}));
  p.At(7, MemQueue(kFrom + 4), Op(Opcode::kRead, {8, 0, E(2)}));   // position 11
  p.At(11, MemQueue(kFrom), Op(Opcode::kWrite, {7, 0, E(2)}));     // 7 + 3 + 1
  p.At(12, MemQueue(kFrom), Op(Opcode::kRead, {7, 0, E(3)}));
  p.At(13 + 12, MemQueue(87), Op(Opcode::kWrite, {0, 0, E(1)}));   // position 24, 12 hops
  p.At(15 + 12, MemQueue(87), Op(Opcode::kWrite, {1, 0, E(3)}));
  RunWell(p);
  EXPECT_EQ(engine.sram().Load(87, 0), old);
  EXPECT_EQ(engine.sram().Load(87, 1), fresh);
  EXPECT_EQ(engine.sram().Load(kFrom, 7), fresh);
}

TEST_F(FunctionalTest, GatherAndScatterAddressEachSuperlane) {
  Vector map;
  std::vector<Vector> words;
  for (int a = 0; a < kSuperlanes; ++a) words.push_back(StoreRandom(kTo, 1000 + 300 * a));
  for (int k = 0; k < kSuperlanes; ++k) {
    const int offset = k == 4 ? 0xffff : 300 * ((k * 7) % kSuperlanes);
    map.bytes[k * 16] = static_cast<uint8_t>(offset);
    map.bytes[k * 16 + 1] = static_cast<uint8_t>(offset >> 8);
  }
  engine.sram().Store(kFrom, 0, map);
  ProgramBuilder p;
  Bring(p, 20, SlicePosition(kTo), E(0), kFrom, 0);
  p.At(20, MemQueue(kTo), Op(Opcode::kGather, {1000, 0, E(0), E(1)}));
  const int last = 87;  // position 24: ten hops on, map and value pass it together
  p.At(24 + 10, MemQueue(last), Op(Opcode::kScatter, {50, 0, E(2), E(1)}));
  Bring(p, 34, SlicePosition(last), E(2), kFrom + 1, 0);
  engine.sram().Store(kFrom + 1, 0, map);
  RunWell(p);
  for (int k = 0; k < kSuperlanes; ++k) {
    const int a = (k * 7) % kSuperlanes;
    const Vector got = engine.sram().Load(last, 50 + 300 * a);
    for (int i = 16 * k; i < 16 * k + 16; ++i) {
      EXPECT_EQ(got.bytes[i], k == 4 ? 0 : words[a].bytes[i]) << "superlane " << k;
    }
  }
}

TEST_F(FunctionalTest, ConfigSilencesSuperlanesFromTheNextCycleOn) {
  const Vector v = StoreRandom(kFrom, 0);
  ProgramBuilder p;
  p.At(10, MemQueue(3), Op(Opcode::kConfig, {7}));
  p.At(10, MemQueue(kFrom), Op(Opcode::kRead, {0, 0, E(0)}), 2);
  p.At(15, MemQueue(kTo), Op(Opcode::kWrite, {0, 1, E(0)}), 2);
  RunWell(p);
  EXPECT_EQ(engine.sram().Load(kTo, 0), v);
  Vector partly = v;
  for (int i = 7 * 16; i < kLanes; ++i) partly.bytes[i] = 0;
  EXPECT_EQ(engine.sram().Load(kTo, 1), partly);
}

TEST_F(FunctionalTest, HacAndSacCountTheirDispatchCycleModulo252) {
  engine.set_counters(250, -3);
  ProgramBuilder p;
  p.At(4, VxmQueue(0), Op(Opcode::kHac, {E(0)}));
  p.At(4, VxmQueue(1), Op(Opcode::kSac, {E(1)}));
  Take(p, 5, kVxm, E(0), kTo, 0, 2);
  RunWell(p);
  EXPECT_EQ(engine.sram().Load(kTo, 0).bytes[319], 2);      // 250 + 4 - 252
  EXPECT_EQ(engine.sram().Load(kTo + 1, 0).bytes[0], 251);  // 250 - 3 + 4
}

TEST_F(FunctionalTest, AReceivedVectorIsThereFromTheCycleAfterItsAccess) {
  links.cabled[3] = true;
  links.arrivals[3] = {{10, RandomVector(random)}, {12, RandomVector(random)}};
  const std::vector<Vector> v = {links.arrivals[3][0].second, links.arrivals[3][1].second};
  ProgramBuilder p;
  p.At(20, C2cQueue(3), Op(Opcode::kReceive, {kFrom, 40, 1}), 2, 4);
  p.At(22, MemQueue(kFrom), Op(Opcode::kRead, {40, 0, E(0)}));  // accessed in 21
  p.At(26, MemQueue(kFrom), Op(Opcode::kRead, {41, 0, E(0)}));
  p.At(27, MemQueue(kTo), Op(Opcode::kWrite, {0, 1, E(0)}), 2, 4);
  RunWell(p);
  EXPECT_EQ(engine.sram().Load(kTo, 0), v[0]);
  EXPECT_EQ(engine.sram().Load(kTo, 1), v[1]);
}

TEST_F(FunctionalTest, SendHandsOverWhatStandsAtTheLink) {
  const Vector v = StoreRandom(kFrom, 0);
  links.cabled[9] = true;
  ProgramBuilder p;
  Bring(p, 30, C2cPosition(9), E(4), kFrom, 0);
  p.At(30, C2cQueue(9), Op(Opcode::kSend, {E(4)}));
  RunWell(p);
  ASSERT_EQ(links.sent.size(), 1u);
  EXPECT_EQ(links.sent[0].cycle, 30);
  EXPECT_EQ(links.sent[0].payload, v);
}

TEST_F(FunctionalTest, AVectorCrossesFromOneChipsSramToAnothers) {
  constexpr int64_t kFlight = 217;
  links.cabled[9] = true;
  std::vector<Vector> v;
  ProgramBuilder p;
  for (int i = 0; i < 3; ++i) {
    v.push_back(StoreRandom(kFrom, i));
    const int64_t send = 30 + 24 * i;
    p.At(send - OpCycles(Opcode::kRead) - (kSxmEast - SlicePosition(kFrom)), MemQueue(kFrom),
         Op(Opcode::kRead, {i, 0, E(4)}));
    p.At(send, C2cQueue(9), Op(Opcode::kSend, {E(4)}));
  }
  RunWell(p);
  FakeLinks far;
  far.cabled[2] = true;
  for (const FakeLinks::Sent& sent : links.sent) {
    far.arrivals[2].emplace_back(sent.cycle + 24 + kFlight, sent.payload);
  }
  FunctionalEngine receiver(6, ChipTiming::Default());
  ProgramBuilder q;
  q.At(30 + 24 + kFlight, C2cQueue(2), Op(Opcode::kReceive, {70, 5, 1}), 3, 24);
  receiver.Start(q.Scheduled());
  ASSERT_EQ(receiver.Run(far), EngineState::kDone);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(receiver.sram().Load(70, 5 + i), v[i]) << i;
}

TEST_F(FunctionalTest, BlocksUntilTheOutsideKnowsAndThenGoesOn) {
  links.cabled[0] = true;
  links.when_empty = Poll::kPending;
  ProgramBuilder p;
  p.At(20, C2cQueue(0), Op(Opcode::kReceive, {kTo, 5, 0}));
  EXPECT_EQ(Run(p), EngineState::kBlocked);
  EXPECT_EQ(engine.blocked_link(), 0);
  EXPECT_EQ(engine.Run(links), EngineState::kBlocked);
  const Vector v = RandomVector(random);
  links.arrivals[0] = {{20, v}};
  EXPECT_EQ(engine.Run(links), EngineState::kDone);
  EXPECT_EQ(engine.sram().Load(kTo, 5), v);
}

class Recorder : public Observer {
 public:
  void OnRun(uint32_t chip, const RunRetired& run) override {
    chips.push_back(chip);
    runs.push_back(run);
  }
  std::vector<uint32_t> chips;
  std::vector<RunRetired> runs;
};

TEST(FunctionalEngineTest, ReportsRunsInTheirOrderWithTheAgesOfOperands) {
  Recorder recorder;
  FunctionalEngine engine(7, ChipTiming::Default(), &recorder);
  FakeLinks links;
  links.cabled[0] = true;
  links.arrivals[0] = {{10, Vector{}}};
  ProgramBuilder p;
  p.At(0, MemQueue(0), Op(Opcode::kRead, {0, 0, E(0)}), 3);
  p.At(3 + 12, MemQueue(87), Op(Opcode::kWrite, {0, 1, E(0)}), 3);  // 12 hops each
  p.At(14, C2cQueue(0), Op(Opcode::kReceive, {0, 9, 0}));
  engine.Start(p.Scheduled());
  ASSERT_EQ(engine.Run(links), EngineState::kDone);
  ASSERT_EQ(recorder.runs.size(), 3u);
  EXPECT_EQ(recorder.chips[0], 7u);
  EXPECT_EQ(recorder.runs[0].op, Opcode::kRead);
  EXPECT_EQ(recorder.runs[0].operand_age, 0);
  EXPECT_EQ(recorder.runs[1].op, Opcode::kReceive);
  EXPECT_EQ(recorder.runs[1].operand_age, 4);
  EXPECT_EQ(recorder.runs[2].op, Opcode::kWrite);
  EXPECT_EQ(recorder.runs[2].operand_age, 36);
  EXPECT_EQ(recorder.runs[2].last, 17);
  TimingDigest digest;
  digest.Add(ScheduleHash(*p.Scheduled()), std::vector<int64_t>{0, 4, 36});
  EXPECT_EQ(engine.timing_digest(), digest.value());
}

TEST_F(FunctionalTest, SramStaysFromRunToRunAndStreamsDoNot) {
  StoreRandom(kFrom, 0);
  ProgramBuilder p;
  p.At(0, MemQueue(kFrom), Op(Opcode::kRead, {0, 0, E(0)}));
  RunWell(p);
  ProgramBuilder late;
  late.At(5, MemQueue(kTo), Op(Opcode::kWrite, {0, 0, E(0)}));
  ExpectFault(late, FaultKind::kStreamEmpty, 5, MemQueue(kTo));
  p.At(5, MemQueue(kTo), Op(Opcode::kWrite, {0, 0, E(0)}));
  RunWell(p);
  EXPECT_EQ(engine.sram().Load(kTo, 0), engine.sram().Load(kFrom, 0));
}

}  // namespace
}  // namespace lockstep
