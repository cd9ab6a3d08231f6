// Every rule of docs/machine.md that an engine checks: kept one cycle away, broken here.
#include "tests/chip/functional_fixture.h"

namespace lockstep {
namespace {

class FunctionalFaultTest : public FunctionalTest {
 protected:
  static constexpr int kAbc0 = MxmQueue(0, kMxmAbc), kIw0 = MxmQueue(0, kMxmIw),
                       kLw0 = MxmQueue(0, kMxmLw), kAcc0 = MxmQueue(0, kMxmAcc);

  // Words on w0.. at the west MXM in `cycle`.
  static void BringWest(ProgramBuilder& p, int64_t cycle, int width = 1) {
    Bring(p, cycle, kMxmWest, W(0), 0, 0, width);
  }
  // i8 weights installed in plane 0 (usable from cycle 42) and activation 0 loaded in cycle 30.
  static ProgramBuilder Fed() {
    ProgramBuilder p;
    BringWest(p, 30);
    p.At(30, kAbc0, Op(Opcode::kAbcLoad, {kTypeI8, 0, 0, W(0)}));
    p.At(41, kIw0, Op(Opcode::kIw, {kTypeI8}));
    return p;
  }
  static Instruction Feed(int type = kTypeI8) { return Op(Opcode::kAbcFeed, {type, 0, 0}); }
  static Instruction Take(int type = kTypeI8) {
    return Op(Opcode::kAcc, {type, 0, 0, 0, kNoStream});
  }
};

TEST_F(FunctionalFaultTest, BankTakesOneAccessACycle) {
  const auto program = [](int address, int64_t write) {
    ProgramBuilder p;
    Bring(p, write, SlicePosition(kTo), E(0), kFrom, 0);
    p.At(20, MemQueue(kTo), Op(Opcode::kRead, {0, 0, E(9)}));
    const Instruction in = Op(Opcode::kWrite, {address, 0, E(0)});
    return write == 20 ? p.Joined(20, MemQueue(kTo), in) : p.At(write, MemQueue(kTo), in);
  };
  RunWell(program(1, 21));
  RunWell(program(kWordsPerBank, 20));
  ExpectFault(program(1, 20), FaultKind::kBankConflict, 20, MemQueue(kTo));
}

TEST_F(FunctionalFaultTest, SliceTakesOneWriteACycle) {
  links.cabled[1] = links.cabled[2] = true;
  const auto program = [this](int64_t second) {
    links.arrivals[1] = links.arrivals[2] = {{0, Vector{}}};
    ProgramBuilder p;
    p.At(20, C2cQueue(1), Op(Opcode::kReceive, {4, 0, 0}));
    return p.At(second, C2cQueue(2), Op(Opcode::kReceive, {4, kWordsPerBank, 0}));
  };
  RunWell(program(21));
  RunWell(program(19));
  ExpectFault(program(20), FaultKind::kPortConflict, 21, C2cQueue(2));
}

TEST_F(FunctionalFaultTest, GatherHoldsBothBanks) {
  links.cabled[1] = true;
  const auto program = [this](int64_t receive) {
    links.arrivals[1] = {{0, Vector{}}};
    ProgramBuilder p;
    Bring(p, 20, SlicePosition(kTo), E(0), kFrom, 0);
    p.At(20, MemQueue(kTo), Op(Opcode::kGather, {0, 0, E(0), E(1)}));
    return p.At(receive, C2cQueue(1), Op(Opcode::kReceive, {kTo, kWordsPerBank, 0}));
  };
  RunWell(program(18));
  RunWell(program(20));
  ExpectFault(program(19), FaultKind::kBankConflict, 20, C2cQueue(1));
}

TEST_F(FunctionalFaultTest, OneValueStandsOnAStreamAtAPlace) {
  const auto program = [](int64_t second) {
    ProgramBuilder p;
    p.At(20, MemQueue(0), Op(Opcode::kRead, {0, 0, E(0)}));
    return p.At(second, MemQueue(1), Op(Opcode::kRead, {0, 0, E(0)}));  // the same position
  };
  RunWell(program(21));
  RunWell(program(19));
  ExpectFault(program(20), FaultKind::kStreamConflict, 20, MemQueue(1));
}

TEST_F(FunctionalFaultTest, AStreamMustHoldSomething) {
  const auto program = [](int64_t write) {
    ProgramBuilder p;
    p.At(20, MemQueue(kFrom), Op(Opcode::kRead, {0, 0, E(0)}));
    return p.At(write, MemQueue(kTo), Op(Opcode::kWrite, {0, 0, E(0)}));
  };
  RunWell(program(25));
  ExpectFault(program(24), FaultKind::kStreamEmpty, 24, MemQueue(kTo));
  ExpectFault(program(26), FaultKind::kStreamEmpty, 26, MemQueue(kTo));
}

TEST_F(FunctionalFaultTest, GatherStaysInTheSlice) {
  Vector map;
  map.bytes[319 - 15] = 100;
  engine.sram().Store(kFrom, 0, map);
  const auto program = [](int address) {
    ProgramBuilder p;
    Bring(p, 20, SlicePosition(kTo), E(0), kFrom, 0);
    return p.At(20, MemQueue(kTo), Op(Opcode::kGather, {address, 0, E(0), E(1)}));
  };
  RunWell(program(kWordsPerSlice - 101));
  ExpectFault(program(kWordsPerSlice - 100), FaultKind::kBadAddress, 20, MemQueue(kTo));
}

TEST_F(FunctionalFaultTest, ARowIsLoadedOnceBeforeAnInstall) {
  const auto program = [](int64_t install) {
    ProgramBuilder p;
    BringWest(p, 30);
    BringWest(p, 32);
    p.At(30, kLw0, Op(Opcode::kLw, {kTypeI8, 9, 0, 1, W(0)}), 2, 2);
    p.At(40, kIw0, Op(Opcode::kIw, {kTypeI8}));  // or the next program would find the row
    return p.At(install, kIw0, Op(Opcode::kIw, {kTypeI8}));
  };
  RunWell(program(31));
  RunWell(program(32));  // iw acts before lw
  ExpectFault(program(33), FaultKind::kBufferFull, 32, kLw0);
}

TEST_F(FunctionalFaultTest, AnActivationIsLoadedBeforeItIsFed) {
  ProgramBuilder p = Fed();
  p.At(50, kAbc0, Feed());
  ProgramBuilder empty;
  empty.At(41, kIw0, Op(Opcode::kIw, {kTypeI8}));
  empty.At(50, kAbc0, Feed());
  ExpectFault(empty, FaultKind::kBufferEmpty, 50, kAbc0);
  RunWell(p);
}

TEST_F(FunctionalFaultTest, APlaneIsNotFedWhileItInstalls) {
  RunWell(Fed().At(40, kAbc0, Feed()).At(39, kIw0, Op(Opcode::kIw, {kTypeI8})));
  RunWell(Fed().At(42, kAbc0, Feed()));
  ExpectFault(Fed().At(41, kAbc0, Feed()), FaultKind::kPlaneBusy, 41, kIw0);
  // With a longer install the feed is the later one.
  FunctionalEngine slow(5, *ChipTiming::Default().With("iw", 3));
  slow.Start(Fed().At(43, kAbc0, Feed()).Scheduled());
  ASSERT_EQ(slow.Run(links), EngineState::kFault);
  EXPECT_EQ(slow.fault().kind, FaultKind::kPlaneBusy);
  EXPECT_EQ(slow.fault().queue, kAbc0);
  slow.Start(Fed().At(44, kAbc0, Feed()).Scheduled());
  EXPECT_EQ(slow.Run(links), EngineState::kDone);
}

TEST_F(FunctionalFaultTest, APlaneIsFedOnlyWhenSomethingIsInstalled) {
  ExpectFault(Fed().At(40, kAbc0, Feed()), FaultKind::kPlaneEmpty, 40, kAbc0);
  RunWell(Fed().At(42, kAbc0, Feed()));
  RunWell(Fed().At(40, kAbc0, Feed()));  // the install of the run before stays
}

TEST_F(FunctionalFaultTest, AccTakesAResultInTheCycleItLeaves) {
  const int64_t leaves = 42 + ChipTiming::Default().mxm_array;
  const auto program = [](int64_t acc) {
    return Fed().At(42, kAbc0, Feed()).At(acc, kAcc0, Take());
  };
  RunWell(program(leaves));
  ExpectFault(program(leaves - 1), FaultKind::kNoResult, leaves - 1, kAcc0);
  ExpectFault(program(leaves + 1), FaultKind::kNoResult, leaves + 1, kAcc0);
}

TEST_F(FunctionalFaultTest, TypesMustAgree) {
  const int64_t leaves = 42 + ChipTiming::Default().mxm_array;
  ExpectFault(Fed().At(42, kAbc0, Feed()).At(leaves, kAcc0, Take(kTypeF16)),
              FaultKind::kTypeMismatch, leaves, kAcc0);
  ProgramBuilder p;
  BringWest(p, 30, 2);
  p.At(30, kLw0, Op(Opcode::kLw, {kTypeF16, 0, 0, 2, W(0)}));
  ProgramBuilder wrong = p;
  ExpectFault(wrong.At(31, kIw0, Op(Opcode::kIw, {kTypeI8})), FaultKind::kTypeMismatch, 31, kIw0);
}

TEST_F(FunctionalFaultTest, TheOddPlaneRefusesInt8RowsWhileTheTandemsBufferHoldsFp16) {
  const auto program = [](int64_t install) {
    ProgramBuilder p;
    BringWest(p, 30, 2);
    BringWest(p, 33, 2);
    p.At(30, kLw0, Op(Opcode::kLw, {kTypeF16, 0, 0, 2, W(0)}));
    p.At(install, kIw0, Op(Opcode::kIw, {kTypeF16}));
    return p.At(33, MxmQueue(1, kMxmLw), Op(Opcode::kLw, {kTypeI8, 0, 0, 2, W(0)}));
  };
  FunctionalEngine fresh(0, ChipTiming::Default());
  fresh.Start(program(32).Scheduled());
  EXPECT_EQ(fresh.Run(links), EngineState::kDone);
  ExpectFault(program(34), FaultKind::kTypeMismatch, 33, MxmQueue(1, kMxmLw));
}

TEST_F(FunctionalFaultTest, PermuteWantsABijection) {
  std::vector<uint16_t> map(kLanes);
  for (int i = 0; i < kLanes; ++i) map[i] = static_cast<uint16_t>(kLanes - 1 - i);
  const int queue = SxmQueue(Hemisphere::kEast, 2);
  ProgramBuilder p;
  Bring(p, 40, kSxmEast, E(0), 0, 0, 2);
  Bring(p, 40, kSxmEast, E(2), 4, 0);
  p.At(40, queue, Op(Opcode::kPermute, {1, E(2), E(0), W(0)}));
  StoreGroup(0, 0, map);
  RunWell(p);
  map[5] = map[6];
  StoreGroup(0, 0, map);
  ExpectFault(p, FaultKind::kNotBijective, 40, queue);
}

TEST_F(FunctionalFaultTest, ALinkTakesAVectorOnlyWhenItIsFree) {
  links.cabled[9] = true;
  const auto program = [](int64_t second) {
    ProgramBuilder p;
    Bring(p, 30, C2cPosition(9), E(0), kFrom, 0);
    p.At(30, C2cQueue(9), Op(Opcode::kSend, {E(0)}));
    return p.At(second, C2cQueue(9), Op(Opcode::kTransmit, {}));
  };
  RunWell(program(53));  // free from 30 + 23.616 on
  ExpectFault(program(52), FaultKind::kLinkSlot, 52, C2cQueue(9));
}

TEST_F(FunctionalFaultTest, ALinkWithoutACableIsAbsent) {
  ProgramBuilder p;
  p.At(3, C2cQueue(6), Op(Opcode::kTransmit, {}));
  ExpectFault(p, FaultKind::kLinkAbsent, 3, C2cQueue(6));
  links.cabled[6] = true;
  RunWell(p);
}

TEST_F(FunctionalFaultTest, AVectorIsReceivedFromItsArrivalOn) {
  links.cabled[0] = true;
  ProgramBuilder p;
  p.At(20, C2cQueue(0), Op(Opcode::kReceive, {0, 0, 0}));
  links.arrivals[0] = {{20, Vector{}}};
  RunWell(p);
  links.arrivals[0] = {{21, Vector{}}};
  ExpectFault(p, FaultKind::kReceiveEmpty, 20, C2cQueue(0));
  links.arrivals[0].clear();
  ExpectFault(p, FaultKind::kReceiveEmpty, 20, C2cQueue(0));
}

TEST_F(FunctionalFaultTest, EveryVectorMustBeReceived) {
  links.cabled[0] = true;
  links.arrivals[0] = {{20, Vector{}}, {45, Vector{}}};
  ProgramBuilder p;
  p.At(20, C2cQueue(0), Op(Opcode::kReceive, {0, 0, 0}));
  ExpectFault(p, FaultKind::kReceiveMissing, 21, C2cQueue(0));
}

TEST_F(FunctionalFaultTest, TheReceiveFifoHoldsTwo) {
  links.cabled[0] = true;
  const auto program = [this](int64_t first) {
    links.arrivals[0] = {{10, Vector{}}, {11, Vector{}}, {12, Vector{}}};
    ProgramBuilder p;
    p.At(first, C2cQueue(0), Op(Opcode::kReceive, {0, 0, 1}));
    return p.At(30, C2cQueue(0), Op(Opcode::kReceive, {0, 1, 1}), 2);
  };
  RunWell(program(12));
  ExpectFault(program(13), FaultKind::kFifoOverflow, 12, C2cQueue(0));
}

// Dispatch() refuses some of these before; the engine must too, for schedules made otherwise.
TEST_F(FunctionalFaultTest, OperandsWithoutMeaningAreBadInstructions) {
  const auto expect_bad = [this](int queue, const Instruction& in) {
    auto schedule = std::make_shared<Schedule>();
    schedule->runs.push_back({in, queue, 0, 3});
    schedule->end = 4;
    schedule->dispatches = 1;
    engine.Start(schedule);
    ASSERT_EQ(engine.Run(links), EngineState::kFault);
    EXPECT_EQ(engine.fault().kind, FaultKind::kBadInstruction) << engine.fault().ToString();
    EXPECT_EQ(engine.fault().cycle, 3);
  };
  expect_bad(kLw0, Op(Opcode::kLw, {kTypeI8, 317, 0, 4, W(0)}));
  expect_bad(kLw0, Op(Opcode::kLw, {kTypeF16, 159, 0, 4, W(0)}));
  expect_bad(MxmQueue(1, kMxmIw), Op(Opcode::kIw, {kTypeF16}));
  expect_bad(kAbc0, Op(Opcode::kAbcFeed, {kTypeI8, 64, 0}));
  expect_bad(kAbc0, Op(Opcode::kAbcLoad, {kTypeF16, 32, 0, W(0)}));
  expect_bad(VxmQueue(0), Op(Opcode::kTanh, {kTypeI32, E(0), E(4)}));
  expect_bad(VxmQueue(0), Op(Opcode::kAdd, {kTypeF32, 1, E(0), E(4), 0, E(8)}));
  expect_bad(SxmQueue(Hemisphere::kWest, 2), Op(Opcode::kShift, {3, 1, 0, E(0), E(4)}));
}

TEST_F(FunctionalFaultTest, AFaultNamesTheInstructionAsDispatched) {
  ProgramBuilder p;
  p.At(20, MemQueue(kTo), Op(Opcode::kWrite, {10, 5, E(0)}), 3);
  p.At(15, MemQueue(kFrom), Op(Opcode::kRead, {0, 0, E(0)}), 2);
  ExpectFault(p, FaultKind::kStreamEmpty, 22, MemQueue(kTo));
  EXPECT_EQ(engine.fault().chip, 5u);
  EXPECT_EQ(engine.fault().instruction, Op(Opcode::kWrite, {20, 5, E(0)}));
}

}  // namespace
}  // namespace lockstep
