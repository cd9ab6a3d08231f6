// Norms of vectors that come word by word, against double precision.
//
// Tolerance: with n terms a lane is a sum of `words` squares and the mean a sum over lanes, so the mean
// is off by (words + 12) * 2^-24, its root by half of that; rsqrt, two products and the constant add 4
// roundings. Then one rounding to fp16. Streamed, factor and rest are two such roots.
#include "runtime/kernels/norm.h"

#include "tests/runtime/one_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;
constexpr float kEps = 1e-5f;

// A norm of random vectors, its places, and what it should be.
struct Case {
  Case(int batch, int elements, double size)
      : batch(batch), elements(elements), words(CeilDiv(elements, kLanes)) {
    const int vectors = batch * words;
    values = RandomFloats(chip.random, vectors * kLanes, -size, size);
    for (int i = 0; i < vectors * kLanes; ++i) {
      if (i % (words * kLanes) >= elements) values[i] = 0;
    }
    gains = RandomFloats(chip.random, elements, -2, 2);
    gains.resize(words * kLanes);
    chip.Store(at.x, values);
    chip.Store(at.gain, gains);
    chip.Fill(at.scratch, Norm::kScratch * batch, 1e9f);
  }
  Norm Make(bool streamed, int positions) {
    return {chip.timing, chip.placer, {words, elements, kEps, positions, streamed}, at};
  }
  std::vector<double> Want() const {
    std::vector<double> want;
    for (int b = 0; b < batch; ++b) {
      const float* x = &values[b * words * kLanes];
      double mean = 0;
      for (int i = 0; i < elements; ++i) mean += double{x[i]} * x[i] / elements;
      for (int i = 0; i < words * kLanes; ++i) {
        want.push_back(x[i] / std::sqrt(mean + kEps) * gains[i]);
      }
    }
    return want;
  }
  // y on a side times what is left, of all positions.
  std::vector<float> Rescaled(Pair y) {
    std::vector<float> out = chip.Load16(y, batch * words);
    const std::vector<float> rest = chip.Load(at.rest, batch);
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] *= rest[i / (words * kLanes) * kLanes + i % kLanes];
    }
    return out;
  }

  OneChip chip;
  const int batch, elements, words;
  std::vector<float> values, gains;
  Norm::Places at{{kWest, 0, 3},    {kEast, 0, 9},    {kEast, 2, 1}, {kWest, 1, 0, 0},
                  {kEast, 1, 0, 5}, {kEast, 1, 4000}, {kWest, 2, 7}};
};

class NormTest : public ::testing::TestWithParam<std::tuple<int, double>> {};

TEST_P(NormTest, AgreesWithDoublePrecision) {
  Case c(1, std::get<0>(GetParam()), std::get<1>(GetParam()));
  c.Make(false, 1).AddAll();
  ASSERT_NO_FATAL_FAILURE(c.chip.Run());
  const std::vector<double> want = c.Want();
  EXPECT_TRUE(AllNear(c.chip.Load16(c.at.west, c.words), want, [&](size_t i) {
    return HalfError(want[i]) + (c.words / 2.0 + 12) * kUlp32 * std::abs(want[i]);
  }));
  EXPECT_EQ(c.chip.Load16(c.at.west, c.words), c.chip.Load16(c.at.east, c.words));
}

TEST_P(NormTest, StreamedAgreesOnceMultipliedByItsRest) {
  Case c(1, std::get<0>(GetParam()), std::get<1>(GetParam()));
  c.Make(true, 1).AddAll();
  ASSERT_NO_FATAL_FAILURE(c.chip.Run());
  const std::vector<double> want = c.Want();
  const double rest = c.chip.Load(c.at.rest, 1)[0];
  EXPECT_TRUE(AllNear(c.Rescaled(c.at.west), want, [&](size_t i) {
    return HalfError(want[i] / rest) * rest + (c.words + 28) * kUlp32 * std::abs(want[i]);
  }));
  EXPECT_EQ(c.chip.Load16(c.at.west, c.words), c.chip.Load16(c.at.east, c.words));
  for (int i = 0; i < kLanes; ++i) {
    ASSERT_EQ(c.chip.Load(c.at.half, 1)[i], c.chip.Load(c.at.rest, 1)[i] / 2);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, NormTest,
    ::testing::Combine(::testing::Values(1, 8, 96, 319, 320, 321, 330, 640, 2048, 4096, 8192, 8300),
                       ::testing::Values(1e-4, 1.0, 500.0)));

TEST(NormWordsTest, TheOrderInWhichWordsComeDoesNotShow) {
  for (bool streamed : {false, true}) {
    Case a(1, 10 * kLanes, 3), b(1, 10 * kLanes, 3);
    a.Make(streamed, 1).AddAll();
    Norm norm = b.Make(streamed, 1);
    for (int w : {9, 3, 0, 8, 4, 1, 2, 5, 7, 6}) norm.Add(w);
    ASSERT_NO_FATAL_FAILURE(a.chip.Run());
    ASSERT_NO_FATAL_FAILURE(b.chip.Run());
    EXPECT_EQ(a.chip.Load16(a.at.east, 10), b.chip.Load16(b.at.east, 10));
    EXPECT_EQ(a.chip.Load(a.at.rest, 1), b.chip.Load(b.at.rest, 1));
  }
}

TEST(NormBatchTest, GivesTheBitsOfEachSingleNorm) {
  constexpr int kBatch = 16;
  for (bool streamed : {false, true}) {
    Case all(kBatch, 1400, 3);
    all.Make(streamed, kBatch).AddAll();
    ASSERT_NO_FATAL_FAILURE(all.chip.Run());
    for (int i : {0, 7, 15}) {
      Case one(kBatch, 1400, 3);
      one.at.x = one.at.x + i * one.words;
      one.Make(streamed, 1).AddAll();
      ASSERT_NO_FATAL_FAILURE(one.chip.Run());
      EXPECT_EQ(all.chip.Load16(all.at.west + i * all.words, all.words),
                one.chip.Load16(one.at.west, one.words));
      if (!streamed) continue;
      EXPECT_EQ(all.chip.Load(all.at.rest + i, 1), one.chip.Load(one.at.rest, 1));
    }
  }
}

// An element 10^5 times the others' size, behind the words that the factor is made of.
TEST(NormRoomTest, AnOutlierOfTheLastWordsFits) {
  Case c(1, 8192, 1);
  c.values[8000] = 1e5f, c.gains[8000] = 1.0f;
  c.chip.Store(c.at.x, c.values), c.chip.Store(c.at.gain, c.gains);
  c.Make(true, 1).AddAll();
  ASSERT_NO_FATAL_FAILURE(c.chip.Run());
  EXPECT_NEAR(c.Rescaled(c.at.west)[8000], c.Want()[8000], 1e-3 * c.Want()[8000]);
}

TEST(NormZeroTest, ZerosStayZero) {
  for (bool streamed : {false, true}) {
    Case c(1, 1280, 0);
    c.Make(streamed, 1).AddAll();
    ASSERT_NO_FATAL_FAILURE(c.chip.Run());
    for (float v : c.chip.Load16(c.at.west, c.words)) ASSERT_EQ(v, 0.0f);
  }
}

TEST(NormSweepTest, LatenciesMayBeSwept) {
  for (int percent : {50, 150, 200}) {
    const ChipTiming timing = ChipTiming::Default().Scaled(percent);
    OneChip chip(timing);
    const Norm::Places at{{kWest, 0, 0},    {kEast, 0, 0},    {kEast, 2, 0}, {kWest, 1, 0, 0},
                          {kEast, 1, 0, 0}, {kEast, 1, 4000}, {kWest, 2, 0}};
    chip.Fill(at.x, 16 * 5, 2.0f);
    chip.Fill(at.gain, 5, 1.0f);
    Norm(chip.timing, chip.placer, {5, 1600, kEps, 16, true}, at).AddAll();
    ASSERT_NO_FATAL_FAILURE(chip.Run()) << percent;
  }
}

}  // namespace
}  // namespace lockstep
