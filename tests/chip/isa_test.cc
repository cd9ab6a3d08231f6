// The table of instructions has no gaps, and ranges are refused just outside.
#include "chip/isa.h"

#include <set>

#include "chip/latency.h"
#include "chip/queue.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

bool Valid(Opcode op, std::array<int32_t, kMaxOperands> arg) {
  return Validate({op, false, arg}).empty();
}

TEST(IsaTest, EveryOpcodeStandsAtItsOwnIndexWithAUniqueName) {
  std::set<std::string> names;
  for (int i = 0; i < kOpcodes; ++i) {
    const OpInfo& info = Info(static_cast<Opcode>(i));
    EXPECT_EQ(static_cast<int>(info.op), i);
    EXPECT_TRUE(names.insert(std::string(info.name)).second) << info.name;
    EXPECT_EQ(OpcodeByName(info.name), info.op);
    EXPECT_FALSE(info.origin.empty() || info.semantics.empty()) << info.name;
  }
}

TEST(IsaTest, EveryUnitInstructionTakesAtLeastACycle) {
  const ChipTiming timing = ChipTiming::Default();
  for (int i = 0; i < kOpcodes; ++i) {
    const OpInfo& info = Info(static_cast<Opcode>(i));
    if (info.unit) {
      EXPECT_GE(timing.d_func[i], 1) << info.name;
    }
  }
}

TEST(IsaTest, EveryInstructionHasAQueue) {
  for (int i = 0; i < kOpcodes; ++i) {
    int takers = 0;
    for (int q = 0; q < kQueues; ++q) takers += QueueTakes(q, static_cast<Opcode>(i));
    EXPECT_GT(takers, 0) << Info(static_cast<Opcode>(i)).name;
  }
}

TEST(IsaTest, CountsEndAtTheirLimits) {
  EXPECT_FALSE(Valid(Opcode::kNop, {0}));
  EXPECT_TRUE(Valid(Opcode::kNop, {1}));
  EXPECT_TRUE(Valid(Opcode::kNop, {65535}));
  EXPECT_FALSE(Valid(Opcode::kNop, {65536}));
  EXPECT_FALSE(Valid(Opcode::kRepeat, {0, 1}));
  EXPECT_FALSE(Valid(Opcode::kRepeat, {1, 0}));
  EXPECT_TRUE(Valid(Opcode::kRepeat, {65535, 65535}));
}

TEST(IsaTest, GroupsAreAlignedAndStayInTheirDirection) {
  EXPECT_TRUE(Valid(Opcode::kAbs, {kTypeF32, 4, 60}));
  EXPECT_FALSE(Valid(Opcode::kAbs, {kTypeF32, 2, 60}));
  EXPECT_FALSE(Valid(Opcode::kAbs, {kTypeF32, 64, 60}));
  EXPECT_TRUE(Valid(Opcode::kLw, {kTypeI8, 0, 0, 16, 16}));
  EXPECT_FALSE(Valid(Opcode::kLw, {kTypeI8, 0, 0, 16, 17}));  // streams 17..32
  EXPECT_FALSE(Valid(Opcode::kLw, {kTypeF16, 0, 0, 2, 1}));
}

TEST(IsaTest, WeightRowsStayInTheArray) {
  EXPECT_TRUE(Valid(Opcode::kLw, {kTypeI8, 304, 0, 16, 0}));
  EXPECT_FALSE(Valid(Opcode::kLw, {kTypeI8, 305, 0, 16, 0}));
  EXPECT_TRUE(Valid(Opcode::kLw, {kTypeF16, 152, 0, 16, 0}));
  EXPECT_FALSE(Valid(Opcode::kLw, {kTypeF16, 153, 0, 16, 0}));
  EXPECT_FALSE(Valid(Opcode::kLw, {kTypeF32, 0, 0, 4, 0}));
}

TEST(IsaTest, WidthThreeAndAnImmediateBesideAStreamAreRefused) {
  EXPECT_TRUE(Valid(Opcode::kShift, {4, 1, 0, 0, 4}));
  EXPECT_FALSE(Valid(Opcode::kShift, {3, 1, 0, 0, 4}));
  EXPECT_TRUE(Valid(Opcode::kAdd, {kTypeI8, 0, 0, kNoStream, 9, 1}));
  EXPECT_FALSE(Valid(Opcode::kAdd, {kTypeI8, 0, 0, 5, 9, 1}));
}

TEST(IsaTest, QueuesTakeTheirOwnInstructionsAndThoseOfTheIcu) {
  for (int q = 0; q < kQueues; ++q) {
    EXPECT_TRUE(QueueTakes(q, Opcode::kNop));
    EXPECT_EQ(QueueTakes(q, Opcode::kRead), q < kVxmQueue0);
    EXPECT_EQ(QueueByName(QueueName(q)), q);
  }
  EXPECT_TRUE(QueueTakes(MxmQueue(2, kMxmLw), Opcode::kLw));
  EXPECT_FALSE(QueueTakes(MxmQueue(2, kMxmIw), Opcode::kLw));
  EXPECT_TRUE(QueueTakes(SxmQueue(Hemisphere::kEast, 1), Opcode::kTranspose));
  EXPECT_FALSE(QueueTakes(SxmQueue(Hemisphere::kEast, 2), Opcode::kTranspose));
}

}  // namespace
}  // namespace lockstep
