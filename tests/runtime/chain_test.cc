// Chains: what an operation computes, from wherever its operands come, to wherever it goes.
#include "runtime/kernels/chain.h"

#include "tests/runtime/one_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

class ChainTest : public ::testing::Test {
 protected:
  OneChip chip;
  std::vector<float> a, b;

  void StoreOperands(Quad at_a, Quad at_b, int words) {
    a = RandomFloats(chip.random, words * kLanes, -3, 3);
    b = RandomFloats(chip.random, words * kLanes, -3, 3);
    chip.Store(at_a, a);
    chip.Store(at_b, b);
  }
};

TEST_F(ChainTest, OperandsAndResultMayLieInAnyColumns) {
  for (int from = 0; from < 6; ++from) {
    for (int other = 0; other < 6; ++other) {
      for (int to = 0; to < 6; ++to) {
        if (from == other || to == from || to == other) continue;
        const auto quad = [](int i) { return Quad{i < 3 ? kWest : kEast, i % 3, 4 * i}; };
        const Quad out = quad(to) + 50;  // every run repeats the chains before
        StoreOperands(quad(from), quad(other), 3);
        Chain c(chip.timing, "sub", 3);
        c.Store(c.Op(Opcode::kSub, c.Load(quad(from)), c.Load(quad(other))), out);
        chip.placer.Place(c.Build());
        ASSERT_NO_FATAL_FAILURE(chip.Run());
        const std::vector<float> got = chip.Load(out, 3);
        for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(got[i], a[i] - b[i]) << from << other << to;
      }
    }
  }
}

TEST_F(ChainTest, EarlyOperandsWaitForLateOnes) {
  StoreOperands({kWest, 0, 0}, {kEast, 0, 0}, 5);
  Chain c(chip.timing, "deep", 5);
  const Chain::Value x = c.Load({kWest, 0, 0}), y = c.Load({kEast, 0, 0});
  Chain::Value deep = c.OpImm(Opcode::kMul, x, 2.0f);
  for (int i = 0; i < 3; ++i) deep = c.OpImm(Opcode::kAdd, deep, 1.0f);
  c.Store(c.Op(Opcode::kMul, c.OpImm(Opcode::kAdd, y, 3.0f), deep), {kEast, 2, 0});
  chip.placer.Place(c.Build());
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  const std::vector<float> got = chip.Load({kEast, 2, 0}, 5);
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(got[i], (b[i] + 3.0f) * (((a[i] * 2.0f + 1.0f) + 1.0f) + 1.0f)) << i;
  }
}

TEST_F(ChainTest, ShiftedLoadsMoveLanesUpAndBringZeros) {
  for (Hemisphere side : {kWest, kEast}) {
    for (int n : {-160, -80, -17, -1, 0, 1, 2, 64, 160}) {
      StoreOperands({side, 1, 0}, {side, 0, 30}, 4);
      Chain c(chip.timing, "shift", 4);
      c.Store(c.OpImm(Opcode::kAdd, c.LoadShifted({side, 1, 0}, n), 0.0f), {Other(side), 2, 0});
      chip.placer.Place(c.Build());
      ASSERT_NO_FATAL_FAILURE(chip.Run());
      const std::vector<float> got = chip.Load({Other(side), 2, 0}, 4);
      for (int i = 0; i < 4 * kLanes; ++i) {
        const int from = i % kLanes - n;
        const float want = from < 0 || from >= kLanes ? 0.0f : a[i - n];
        ASSERT_EQ(got[i], want + 0.0f) << "by " << n << " lane " << i;
      }
    }
  }
}

TEST_F(ChainTest, AccumulatesAnyNumberOfVectorsInOrder) {
  for (int words : {1, 2, 3, 26, 100}) {
    for (Opcode op : {Opcode::kAdd, Opcode::kMax}) {
      StoreOperands({kWest, 2, 0}, {kEast, 0, 0}, words);
      Chain c(chip.timing, "sum", words, AccumulatePeriod(chip.timing, op));
      const Chain::Value sum = c.Accumulate(op, c.Load({kWest, 2, 0}));
      c.Store(c.Op(Opcode::kAdd, sum, c.Load({kEast, 0, 0})), {kWest, 0, 0});
      chip.placer.Place(c.Build());
      ASSERT_NO_FATAL_FAILURE(chip.Run());
      const std::vector<float> got = chip.Load({kWest, 0, 0}, 1);
      for (int i = 0; i < kLanes; ++i) {
        float want = a[i];
        for (int w = 1; w < words; ++w) {
          const float next = a[w * kLanes + i];
          want = op == Opcode::kAdd ? want + next : std::max(want, next);
        }
        ASSERT_EQ(got[i], want + b[i]) << words << " vectors, lane " << i;
      }
    }
  }
}

TEST_F(ChainTest, StridesSkipWords) {
  StoreOperands({kWest, 0, 0}, {kEast, 0, 0}, 12);
  Chain c(chip.timing, "strides", 4);
  c.Store(c.Op(Opcode::kAdd, c.Load({kWest, 0, 0}, 3), c.Load({kEast, 0, 5}, 0)), {kWest, 1, 0}, 2);
  chip.placer.Place(c.Build());
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  for (int w = 0; w < 4; ++w) {
    const std::vector<float> got = chip.Load({kWest, 1, 2 * w}, 1);
    for (int i = 0; i < kLanes; ++i) {
      ASSERT_EQ(got[i], a[3 * w * kLanes + i] + b[5 * kLanes + i]) << w;
    }
  }
}

TEST_F(ChainTest, HalvesConvertBothWays) {
  const std::vector<float> x = Rounded16(RandomFloats(chip.random, 3 * kLanes, -9, 9));
  chip.Store(Pair{kEast, 2, 2, 1}, Halves(x));
  Chain c(chip.timing, "halves", 3);
  const Chain::Value wide = c.To32(c.Load16({kEast, 2, 2, 1}));
  c.Store(wide, {kWest, 0, 0});
  c.Store16(c.To16(c.OpImm(Opcode::kMul, wide, 0.5f)), {kEast, 1, 0, 0});
  chip.placer.Place(c.Build());
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load({kWest, 0, 0}, 3), x);
  const std::vector<float> halved = chip.Load16({kEast, 1, 0, 0}, 3);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(halved[i], x[i] / 2);
}

TEST_F(ChainTest, AValueCanBeStoredOnBothSides) {
  StoreOperands({kWest, 0, 0}, {kEast, 0, 0}, 2);
  Chain c(chip.timing, "both", 2);
  const Chain::Value v = c.Op(Opcode::kMax, c.Load({kWest, 0, 0}), c.Load({kEast, 0, 0}));
  c.Store(v, {kWest, 2, 0});
  c.Store(v, {kEast, 2, 0});
  chip.placer.Place(c.Build());
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load({kWest, 2, 0}, 2), chip.Load({kEast, 2, 0}, 2));
  EXPECT_EQ(chip.Load({kWest, 2, 0}, 2)[5], std::max(a[5], b[5]));
}

TEST_F(ChainTest, LatenciesMayBeAnyWholeMultiple) {
  for (int percent : {100, 150, 200}) {
    OneChip other(ChipTiming::Default().Scaled(percent));
    const std::vector<float> x = RandomFloats(other.random, 2 * kLanes, -9, 9);
    other.Store(Quad{kWest, 1, 0}, x);
    other.Store(Quad{kEast, 2, 0}, x);
    other.kernels.SwiGlu({kWest, 1, 0}, {kEast, 2, 0}, 2, {kWest, 0, 0, 0}, {kEast, 0, 0, 0});
    ASSERT_NO_FATAL_FAILURE(other.Run());
    const float got = other.Load16({kEast, 0, 0, 0}, 1)[3];
    const double want = double{x[3]} / (1 + std::exp(-double{x[3]})) * x[3];
    EXPECT_NEAR(got, want, HalfError(want) + 1e-5) << percent;
  }
}

}  // namespace
}  // namespace lockstep
