// Norms, elementwise kernels, gathers and lane reductions against double precision.
#include "runtime/kernels/kernels.h"

#include <limits>
#include <numeric>

#include "runtime/files/portable_math.h"
#include "runtime/model/model_config.h"
#include "tests/runtime/one_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

// ---- Lane reductions. A sum of 320 makes at most 9 roundings on any path, of at most 2^-24 of the
// sum of magnitudes each; 10 bound them with their growth.

struct Sides {
  Hemisphere from, to;
};
class LaneReductionTest : public ::testing::TestWithParam<std::tuple<Sides, int>> {
 protected:
  OneChip chip;
  const Sides sides = std::get<0>(GetParam());
  const int words = std::get<1>(GetParam());
  const Quad src{sides.from, 1, 40}, dst{sides.to, 2, 7};

  void ExpectSums(const std::vector<float>& values) {
    chip.Store(src, values);
    chip.kernels.LaneSum(src, dst, words);
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    const std::vector<float> got = chip.Load(dst, words);
    for (int w = 0; w < words; ++w) {
      double want = 0, size = 0;
      for (int i = 0; i < kLanes; ++i) {
        want += values[w * kLanes + i], size += std::abs(values[w * kLanes + i]);
      }
      for (int i = 0; i < kLanes; ++i) {
        ASSERT_NEAR(got[w * kLanes + i], want, 10 * kUlp32 * size) << "word " << w << " lane " << i;
        ASSERT_EQ(got[w * kLanes + i], got[w * kLanes + i % 5]) << "word " << w << " lane " << i;
      }
    }
  }
};

TEST_P(LaneReductionTest, SumOfRandomLanesIsInEveryLane) {
  ExpectSums(RandomFloats(chip.random, words * kLanes, -100, 100));
}

TEST_P(LaneReductionTest, SumCountsEveryLaneOnce) {
  // Powers of two far apart: a lane left out or taken twice shows.
  std::vector<float> values(words * kLanes);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 7919) % 1031);
  ExpectSums(values);
}

TEST_P(LaneReductionTest, MaximumIsExactWhereverItStands) {
  std::vector<float> values = RandomFloats(chip.random, words * kLanes, -3e38, -1);
  for (int w = 0; w < words; ++w) values[w * kLanes + (w * 67 + 319) % kLanes] = -0.5f * (w + 1);
  chip.Store(src, values);
  chip.kernels.LaneMax(src, dst, words);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  const std::vector<float> got = chip.Load(dst, words);
  for (int i = 0; i < words * kLanes; ++i) ASSERT_EQ(got[i], -0.5f * (i / kLanes + 1)) << i;
}

INSTANTIATE_TEST_SUITE_P(
    AllSides, LaneReductionTest,
    ::testing::Combine(::testing::Values(Sides{kWest, kWest}, Sides{kWest, kEast},
                                         Sides{kEast, kWest}, Sides{kEast, kEast}),
                       ::testing::Values(1, 2, 24, 25, 53)));

TEST(LaneMaxTest, EveryLaneCanWin) {
  OneChip chip;
  std::vector<float> values(kLanes * kLanes, -1.0f);
  for (int w = 0; w < kLanes; ++w) values[w * kLanes + w] = 2.0f;
  chip.Store(Quad{kEast, 2, 0}, values);
  chip.kernels.LaneMax({kEast, 2, 0}, {kWest, 0, 0}, kLanes);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  for (float v : chip.Load({kWest, 0, 0}, kLanes)) ASSERT_EQ(v, 2.0f);
}

// Of few words a tree of another form.
TEST(LaneMaxTest, EveryLaneOfAPairOfWordsCanWin) {
  OneChip chip;
  std::vector<float> values(kLanes * kLanes, -1.0f);
  for (int w = 0; w < kLanes; ++w) values[w * kLanes + w] = 2.0f + static_cast<float>(w);
  chip.Store(Quad{kEast, 2, 0}, values);
  for (int w = 0; w < kLanes; w += 2) chip.kernels.LaneMax({kEast, 2, w}, {kWest, 0, w}, 2);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  const std::vector<float> got = chip.Load({kWest, 0, 0}, kLanes);
  for (int i = 0; i < kLanes * kLanes; ++i)
    ASSERT_EQ(got[i], 2.0f + static_cast<float>(i / kLanes));
}

TEST(LaneMaxTest, OfOneWordTakesTwoTripsToTheShifters) {
  const auto cycles = [](int words) {
    OneChip chip;
    chip.kernels.LaneMax({kEast, 2, 0}, {kEast, 2, 100}, words);
    return chip.placer.spans().back().last - chip.placer.spans().back().first;
  };
  EXPECT_LT(cycles(1), 2 * (2 * Hops(kVxm, kSxmEast) + 4) + 50);
  EXPECT_GT(cycles(3), 4 * (2 * Hops(kVxm, kSxmEast) + 4));
}

// ---- Rotary embedding: two heads a vector.

class RotaryTest : public ::testing::TestWithParam<std::tuple<int, int, int>> {};

// Tables as Kernels::Rotary wants them, for one position.
void StoreTables(OneChip& chip, const Kernels::RotaryTables& tables, int head_dim, int position) {
  std::vector<float> cos(kLanes, 0.0f), low(kLanes, 0.0f), high(kLanes, 0.0f);
  for (int i = 0; i < head_dim; ++i) {
    const double angle = position * std::pow(10000.0, -2.0 * (i % (head_dim / 2)) / head_dim);
    for (int lane : {i, i + kHalfLanes}) {
      cos[lane] = static_cast<float>(std::cos(angle));
      (i < head_dim / 2 ? low : high)[lane] =
          static_cast<float>(i < head_dim / 2 ? -std::sin(angle) : std::sin(angle));
    }
  }
  chip.Store(tables.cos, cos);
  chip.Store(tables.sin_low, low);
  chip.Store(tables.sin_high, high);
}

// Table entries, products, sum and scale round 5 times, each at most 2^-24 of 2 |x| scale; then
// comes the rounding to fp16.
TEST_P(RotaryTest, AgreesWithDoublePrecision) {
  const auto [head_dim, position, words] = GetParam();
  OneChip chip;
  const Kernels::RotaryTables tables{{kWest, 0, 3}, {kWest, 1, 2}, {kEast, 0, 1}};
  for (Hemisphere side : {kWest, kEast}) {
    const Quad x{side, 2, 10};
    const Pair y{kEast, 1, side == kWest ? 2 : 0, 20};
    std::vector<float> values(words * kLanes, 0.0f);
    for (int i = 0; i < words * kLanes; ++i) {
      if (i % kHalfLanes < head_dim) values[i] = RandomFloats(chip.random, 1, -4, 4)[0];
    }
    chip.Store(x, values);
    StoreTables(chip, tables, head_dim, position);
    chip.kernels.Rotary(x, tables, words, head_dim / 2, 0.25f, y);
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    std::vector<double> want(words * kLanes, 0.0);
    const int half = head_dim / 2;
    for (int i = 0; i < words * kLanes; ++i) {
      const int e = i % kHalfLanes;
      if (e >= head_dim) continue;
      const double angle = position * std::pow(10000.0, -2.0 * (e % half) / head_dim);
      const double other = e < half ? -values[i + half] : values[i - half];
      want[i] = 0.25 * (values[i] * std::cos(angle) + other * std::sin(angle));
    }
    EXPECT_TRUE(AllNear(chip.Load16(y, words), want,
                        [&](size_t i) { return HalfError(want[i]) + 5 * kUlp32 * 2 * 4 * 0.25; }))
        << "x in the " << (side == kWest ? "west" : "east");
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, RotaryTest,
                         ::testing::Combine(::testing::Values(2, 4, 8, 16, 64, 80, 128, 160),
                                            ::testing::Values(0, 1, 159, 4095),
                                            ::testing::Values(1, 13)));

// A wide head: its halves in neighbouring vectors, every element twice a vector.
TEST(RotaryAcrossTest, AgreesWithDoublePrecision) {
  const int half = 150, stride = 4;
  for (int pairs : {1, 2, 13}) {
    OneChip chip;
    const Kernels::RotaryTables tables{{kWest, 0, 3}, {kWest, 1, 2}, {kEast, 0, 1}};
    const Quad x{kEast, 2, 10};
    const Pair y{kEast, 1, 2, 20};
    std::vector<float> cos(kLanes, 0.0f), sin(kLanes, 0.0f), minus(kLanes, 0.0f);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int e = lane % kHalfLanes;
      if (e >= half) continue;
      const double angle = 77 * std::pow(10000.0, -1.0 * e / half);
      cos[lane] = static_cast<float>(std::cos(angle));
      sin[lane] = static_cast<float>(std::sin(angle));
      minus[lane] = -sin[lane];
    }
    chip.Store(tables.cos, cos), chip.Store(tables.sin_low, minus),
        chip.Store(tables.sin_high, sin);
    std::vector<double> want(pairs * stride * kLanes, 0.0);
    for (int i = 0; i < pairs; ++i) {
      std::vector<float> both[2];
      for (int h : {0, 1}) {
        both[h] = RandomFloats(chip.random, kLanes, -4, 4);
        chip.Store(x + (i * stride + h), both[h]);
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        const double a = both[0][lane], b = both[1][lane];
        want[i * stride * kLanes + lane] = a * cos[lane] - b * sin[lane];
        want[(i * stride + 1) * kLanes + lane] = b * cos[lane] + a * sin[lane];
      }
    }
    chip.kernels.RotaryAcross(x, tables, pairs, y, stride);
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    EXPECT_TRUE(AllNear(chip.Load16(y, pairs * stride), want,
                        [&](size_t i) { return HalfError(want[i]) + 3 * kUlp32 * 2 * 4; }));
  }
}

// ---- SwiGLU: 0.5 g (1 + tanh(g / 2)) u. For negative g, 1 + tanh cancels, so the error of tanh
// (an ulp of 1) and of the addition weighs fully: (3 * 2^-24) * |g u| / 2, then three roundings and
// fp16.

TEST(SwiGluTest, AgreesWithDoublePrecisionFromTinyToLarge) {
  OneChip chip;
  const int words = 26;
  const Quad gate{kWest, 1, 0}, up{kEast, 2, 30};
  const Pair west{kWest, 0, 0, 7}, east{kEast, 0, 2, 8};
  std::vector<float> g = RandomFloats(chip.random, words * kLanes, -20, 20);
  std::vector<float> u = RandomFloats(chip.random, words * kLanes, -5, 5);
  for (int i = 0; i < kLanes; ++i) g[i] = std::ldexp(i % 2 ? 1.0f : -1.0f, i % 40 - 30), u[i] = 1;
  g[0] = 0, g[1] = -0.0f, g[2] = 1000, u[2] = 60, g[3] = -1e30f, g[4] = 65504, u[4] = 1;
  chip.Store(gate, g);
  chip.Store(up, u);
  chip.kernels.SwiGlu(gate, up, words, west, east);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  std::vector<double> want(g.size());
  for (size_t i = 0; i < g.size(); ++i) want[i] = g[i] / (1 + std::exp(-double{g[i]})) * u[i];
  const std::vector<float> got = chip.Load16(west, words);
  EXPECT_TRUE(AllNear(got, want, [&](size_t i) {
    const double term = std::abs(double{g[i]} * u[i]);
    return HalfError(want[i]) + 3 * kUlp32 * std::abs(want[i]) +
           (g[i] < -40 ? 0 : 1.5 * kUlp32 * term);
  }));
  EXPECT_EQ(got, chip.Load16(east, words));
}

// Half a factor is exact, so that only the product with the whole one adds a rounding.
TEST(SwiGluTest, TakesAFactorOfBoth) {
  OneChip chip;
  const int words = 26;
  const Quad gate{kWest, 1, 0}, up{kEast, 2, 30}, whole{kEast, 1, 0}, half{kWest, 2, 0};
  const Pair west{kWest, 0, 0, 7}, east{kEast, 0, 2, 8};
  const std::vector<float> g = RandomFloats(chip.random, words * kLanes, -20, 20);
  const std::vector<float> u = RandomFloats(chip.random, words * kLanes, -5, 5);
  chip.Store(gate, g), chip.Store(up, u);
  chip.Fill(whole, 1, 0.37f), chip.Fill(half, 1, 0.37f / 2);
  chip.kernels.SwiGlu(gate, up, words, west, east, Kernels::Factor{whole, half});
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  std::vector<double> want(g.size());
  for (size_t i = 0; i < g.size(); ++i) {
    const double gate_value = 0.37f * double{g[i]}, up_value = 0.37f * double{u[i]};
    want[i] = gate_value / (1 + std::exp(-gate_value)) * up_value;
  }
  const std::vector<float> got = chip.Load16(west, words);
  EXPECT_TRUE(AllNear(got, want, [&](size_t i) {
    return HalfError(want[i]) + 8 * kUlp32 * (std::abs(want[i]) + std::abs(double{g[i]} * u[i]));
  }));
  EXPECT_EQ(got, chip.Load16(east, words));
}

// ---- Elementwise.

TEST(ElementwiseTest, ScaleMultipliesInPlace) {
  for (const auto& [stride, by_stride] : {std::pair{1, 0}, std::pair{3, 1}}) {
    OneChip chip;
    const int words = 16;
    const std::vector<float> y = RandomFloats(chip.random, words * stride * kLanes);
    const std::vector<float> by = RandomFloats(chip.random, words * kLanes);
    chip.Store(Quad{kWest, 2, 3}, y);
    chip.Store(Quad{kEast, 1, 0}, by);
    chip.kernels.Scale({kWest, 2, 3}, stride, {kEast, 1, 0}, by_stride, words);
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    const std::vector<float> got = chip.Load({kWest, 2, 3}, words * stride);
    for (size_t i = 0; i < y.size(); ++i) {
      const size_t w = i / kLanes;
      const float factor = by[w / stride * by_stride * kLanes + i % kLanes];
      ASSERT_EQ(got[i], w % stride == 0 ? y[i] * factor : y[i]);
    }
  }
}

TEST(ElementwiseTest, ToHalfRoundsToNearestEven) {
  for (Hemisphere side : {kWest, kEast}) {
    OneChip chip;
    const std::vector<float> x = RandomFloats(chip.random, 27 * kLanes, -70000, 70000);
    chip.Store(Quad{side, 2, 3}, x);
    chip.kernels.ToHalf({side, 2, 3}, 27, {kEast, 1, 2, 4});
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    EXPECT_EQ(chip.Load16({kEast, 1, 2, 4}, 27), Rounded16(x));
  }
}

TEST(ElementwiseTest, AddIsTheHostsFloatAddition) {
  OneChip chip;
  const std::vector<float> a = RandomFloats(chip.random, 29 * kLanes, -1e6, 1e6);
  const std::vector<float> b = RandomFloats(chip.random, 29 * kLanes, -1e-3, 1e6);
  chip.Store(Quad{kWest, 0, 0}, a);
  chip.Store(Quad{kEast, 1, 0}, b);
  chip.kernels.Add({kWest, 0, 0}, {kEast, 1, 0}, 29, {kWest, 2, 5});
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  const std::vector<float> got = chip.Load({kWest, 2, 5}, 29);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(got[i], a[i] + b[i]) << i;
}

TEST(MaskBiasTest, MasksExactlyThePositionsBeyond) {
  for (int position : {0, 1, 159, 160, 319, 320, 700, 8191}) {
    OneChip chip;
    std::vector<float> iota(26 * kLanes);
    std::iota(iota.begin(), iota.end(), 0.0f);
    chip.Store(Quad{kEast, 0, 2}, iota);
    chip.Fill({kWest, 0, 1}, 1, static_cast<float>(position));
    chip.kernels.MaskBias({kEast, 0, 2}, {kWest, 0, 1}, 26, {kWest, 1, 0});
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    const std::vector<float> bias = chip.Load({kWest, 1, 0}, 26);
    for (int i = 0; i < 26 * kLanes; ++i) ASSERT_EQ(bias[i], i > position ? -1e30f : 0.0f) << i;
  }
}

// ---- Gathers.

class GatherRowTest : public ::testing::TestWithParam<int> {};

TEST_P(GatherRowTest, BringsTheRowOfTheMapOrZeros) {
  const int words = GetParam(), rows = 37, address = 5;
  OneChip chip;
  const Quad y{kWest, 1, 60};
  const Single map{kWest, 0, 0, 9};
  std::vector<std::vector<float>> table(rows);
  for (int r = 0; r < rows; ++r) {
    table[r] = Rounded16(RandomFloats(chip.random, words * kLanes));
    for (int w = 0; w < words; ++w) {
      for (int i = 0; i < kLanes; ++i) {
        const uint16_t bits = FloatToHalf(table[r][w * kLanes + i]);
        const uint8_t bytes[2] = {static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8)};
        for (int k = 0; k < 2; ++k) {
          chip.memory.Store(WeightSlice(kWest, 2 * (w % 16) + k), address + w / 16 * rows + r, i,
                            {bytes + k, 1});
        }
      }
    }
  }
  chip.kernels.GatherRow(kWest, address, rows, map, words, y);
  for (int row : {0, 20, rows - 1}) {
    chip.StoreMap(map, row);
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    EXPECT_EQ(chip.Load(y, words), table[row]) << row;
  }
  chip.StoreMap(map, 0xffff);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load(y, words), std::vector<float>(words * kLanes, 0.0f));
}

INSTANTIATE_TEST_SUITE_P(Words, GatherRowTest, ::testing::Values(1, 2, 15, 16, 17, 26, 33));

}  // namespace
}  // namespace lockstep
