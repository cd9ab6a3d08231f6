// Attention against double precision: the cache position by position, scores, softmax, outputs.
#include "runtime/kernels/attention.h"

#include "tests/runtime/attention_head.h"

namespace lockstep {
namespace {

using Head = AttentionHead;

// ---- The cache: exact.

class CacheTest : public ::testing::TestWithParam<std::tuple<int, int>> {};

TEST_P(CacheTest, HoldsWhatWasAppendedAndNothingElseMoves) {
  const auto [head_dim, context] = GetParam();
  Head head(context, head_dim, 1);
  head.PlaceAppends();
  std::vector<int> positions;
  for (int t : {0, 1, 14, 15, 16, 17, 158, 159, 160, 161, 318, 319, 320, 321, 699}) {
    if (t < context) positions.push_back(t);
  }
  std::vector<std::vector<float>> keys, values;
  for (int t : positions) {
    keys.push_back(Rounded16(RandomFloats(head.chip.random, head_dim)));
    values.push_back(Rounded16(RandomFloats(head.chip.random, head_dim, -60000, 60000)));
    head.SetStep(t, keys.back(), values.back());
    ASSERT_NO_FATAL_FAILURE(head.chip.Run());
  }
  for (size_t i = 0; i < positions.size(); ++i) {
    EXPECT_EQ(head.CachedKey(positions[i]), keys[i]) << positions[i];
    EXPECT_EQ(head.CachedValue(positions[i]), values[i]) << positions[i];
  }
  const std::vector<float> none(head_dim, 0.0f);
  for (int t = 2; t < std::min(14, context); ++t) EXPECT_EQ(head.CachedValue(t), none) << t;
}

INSTANTIATE_TEST_SUITE_P(Shapes, CacheTest,
                         ::testing::Combine(::testing::Values(1, 2, 4, 8, 15, 16, 18, 64, 80, 128,
                                                              160, 161, 256, 321, 512),
                                            ::testing::Values(1, 5, 160, 161, 320, 321, 700)));

// A batch writes the same cache as its positions one by one, at every place of a block and a tile.
TEST(CacheBatchTest, HoldsEveryPositionOfEveryBatch) {
  for (int head_dim : {7, 160, 163}) {
    for (int batch : {2, 4, 8, 16}) {
      Head head(336, head_dim, 1, 0, batch);
      head.PlaceAppends();
      std::vector<std::vector<float>> keys, values;
      const std::vector<int> starts = {0, 16, 160 - batch, 160, 304, 320};
      for (int t : starts) {
        keys.push_back(Rounded16(RandomFloats(head.chip.random, batch * head_dim)));
        values.push_back(Rounded16(RandomFloats(head.chip.random, batch * head_dim, -6e4, 6e4)));
        head.SetStep(t, keys.back(), values.back());
        ASSERT_NO_FATAL_FAILURE(head.chip.Run());
      }
      const auto of = [&](const std::vector<float>& all, int b) {
        return std::vector<float>(all.begin() + b * head_dim, all.begin() + (b + 1) * head_dim);
      };
      for (size_t i = 0; i < starts.size(); ++i) {
        for (int b = 0; b < batch; ++b) {
          ASSERT_EQ(head.CachedKey(starts[i] + b), of(keys[i], b)) << starts[i] << "+" << b;
          ASSERT_EQ(head.CachedValue(starts[i] + b), of(values[i], b)) << starts[i] << "+" << b;
        }
      }
      EXPECT_EQ(head.CachedValue(48), std::vector<float>(head_dim, 0.0f));
    }
  }
}

TEST(CacheAgainTest, AnAppendReplacesWhatAnEarlierTextLeft) {
  Head head(200, 20, 1);
  head.PlaceAppends();
  for (float scale : {60000.0f, -3.0f, 0.25f}) {
    for (int t : {0, 7, 170}) {
      const std::vector<float> key = Rounded16(RandomFloats(head.chip.random, 20, -scale, scale));
      const std::vector<float> value = Rounded16(RandomFloats(head.chip.random, 20, -scale, scale));
      head.SetStep(t, key, value);
      ASSERT_NO_FATAL_FAILURE(head.chip.Run());
      EXPECT_EQ(head.CachedKey(t), key);
      EXPECT_EQ(head.CachedValue(t), value);
    }
  }
}

// ---- The whole: weights p are rounded to fp16, off by 2^-11 of p or 2^-25, and used in both
// numerator and denominator (which is at least 1): a weighted mean of n values within +-v is off by
// at most 2 v (2^-11 + n 2^-25). The exponents are off by 4 roundings of the largest score s, exp
// and the rest by 16 more. Last comes one rounding of the output. Of an int8 cache the reference is
// of what it holds; p times the largest value is rounded, and only in the numerator, which is half
// of the bound; scores and what the cache holds are rounded once more each.

struct AttentionCase {
  int context, head_dim, heads;
  double size;
  int batch = 1;
  NumberFormat format = NumberFormat::kFp16;
};
std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
  return out << "context " << c.context << ", " << c.heads << " heads of " << c.head_dim
             << ", size " << c.size << ", batch " << c.batch << ", cache in "
             << NumberFormatName(c.format);
}

using Rows = std::vector<std::vector<float>>;  // by position

// The outputs of one position: `heads` queries over the first `count` keys and values.
std::vector<double> ReferenceOf(const Head& head, const float* queries, const Rows& keys,
                                const Rows& values, int count, double* largest) {
  const int d = head.shape.head_dim, width = head.shape.value_groups() * kLanes;
  std::vector<double> out(head.heads * width, 0.0);
  for (int h = 0; h < head.heads; ++h) {
    std::vector<double> s(count, 0.0);
    for (int t = 0; t < count; ++t) {
      for (int i = 0; i < d; ++i) s[t] += double{queries[h * d + i]} * keys[t][i];
      *largest = std::max(*largest, std::abs(s[t]));
    }
    const double top = *std::max_element(s.begin(), s.end());
    double sum = 0;
    for (double& e : s) e = std::exp(e - top), sum += e;
    for (int t = 0; t < count; ++t) {
      for (int i = 0; i < d; ++i) {
        out[h * width + i / kHalfLanes * kLanes + i % kHalfLanes] += s[t] / sum * values[t][i];
      }
    }
  }
  return out;
}

class AttentionTest : public ::testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionTest, AgreesWithDoublePrecisionAtEveryEdge) {
  const auto [context, head_dim, heads, size, batch, format] = GetParam();
  Head head(context, head_dim, heads, heads % 3, batch, format);
  head.PlaceAll();
  Rows keys, values;
  const double v_max = 4;
  for (int t = 0; t + batch <= context; t += batch) {
    std::vector<float> all_keys, all_values;
    for (int b = 0; b < batch; ++b) {
      keys.push_back(Rounded16(RandomFloats(head.chip.random, head_dim, -size, size)));
      values.push_back(Rounded16(RandomFloats(head.chip.random, head_dim, -v_max, v_max)));
      all_keys.insert(all_keys.end(), keys.back().begin(), keys.back().end());
      all_values.insert(all_values.end(), values.back().begin(), values.back().end());
    }
    const std::vector<float> queries =
        Rounded16(RandomFloats(head.chip.random, batch * heads * head_dim, -size, size));
    head.SetStep(t, all_keys, all_values);
    head.SetQueries(queries);
    ASSERT_NO_FATAL_FAILURE(head.chip.Run());
    for (int i = t; i < t + batch; ++i) head.Reread(i, &keys[i], &values[i]);
    const int last = t + batch - 1;
    if (t > 2 && last + 1 < context && t % 160 > 1 && last % 160 < 158 && t % 97 != 0) continue;
    double largest = 0;
    std::vector<double> want;
    for (int b = 0; b < batch; ++b) {
      const std::vector<double> one =
          ReferenceOf(head, &queries[b * heads * head_dim], keys, values, t + b + 1, &largest);
      want.insert(want.end(), one.begin(), one.end());
    }
    ASSERT_TRUE(AllNear(head.chip.Load16(head.east, head.outputs()), want,
                        [&](size_t i) {
                          return HalfError(want[i]) + 2 * v_max * (0x1p-11 + (last + 1) * 0x1p-25) +
                                 2 * v_max * (6 * largest + 16) * kUlp32;
                        }))
        << "position " << t;
    ASSERT_EQ(head.chip.Load16(head.west, head.outputs()),
              head.chip.Load16(head.east, head.outputs()));
  }
}

std::vector<AttentionCase> Contexts() {
  std::vector<AttentionCase> out;
  for (int context : {1, 5, 160, 161, 320, 321, 700}) {
    for (int head_dim : {8, 80}) {
      for (int heads : {1, 2}) out.push_back({context, head_dim, heads, 1.0});
    }
  }
  return out;
}
std::vector<AttentionCase> HeadSizes() {
  std::vector<AttentionCase> out;
  for (int head_dim : {2, 3, 4, 16, 64, 101, 128, 160, 161, 162, 256, 319, 320, 321, 322, 512}) {
    out.push_back({33, head_dim, 3, 0.5});
  }
  out.push_back({330, 256, 2, 0.5});
  out.push_back({330, 500, 1, 0.25});
  return out;
}
std::vector<AttentionCase> QueryHeads() {
  std::vector<AttentionCase> out;
  for (int context : {170, 330}) {
    for (int heads : {4, 5, 7, 8, 12, 13, 15, 16, 17}) out.push_back({context, 6, heads, 1.0});
  }
  for (int heads : {31, 32, 33, 63, 64}) out.push_back({21, 6, heads, 1.0});
  out.push_back({330, 6, 64, 1.0});
  out.push_back({20, 170, 17, 0.5});  // wide and many at once
  out.push_back({20, 512, 33, 0.25});
  return out;
}
std::vector<AttentionCase> Batches() {
  return {{32, 6, 1, 1.0, 2},    {32, 6, 3, 1.0, 4},     {176, 6, 2, 1.0, 8},
          {330, 64, 4, 0.5, 16}, {336, 20, 1, 1.0, 16},  {176, 6, 17, 1.0, 16},
          {32, 200, 3, 0.5, 16}, {48, 500, 17, 0.25, 8}, {700, 8, 5, 1.0, 16}};
}

std::vector<AttentionCase> InInt8(std::vector<AttentionCase> cases) {
  for (AttentionCase& c : cases) c.format = NumberFormat::kInt8;
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Contexts, AttentionTest, ::testing::ValuesIn(Contexts()));
INSTANTIATE_TEST_SUITE_P(HeadSizes, AttentionTest, ::testing::ValuesIn(HeadSizes()));
INSTANTIATE_TEST_SUITE_P(QueryHeads, AttentionTest, ::testing::ValuesIn(QueryHeads()));
INSTANTIATE_TEST_SUITE_P(Batches, AttentionTest, ::testing::ValuesIn(Batches()));
INSTANTIATE_TEST_SUITE_P(Int8Contexts, AttentionTest, ::testing::ValuesIn(InInt8(Contexts())));
INSTANTIATE_TEST_SUITE_P(Int8HeadSizes, AttentionTest, ::testing::ValuesIn(InInt8(HeadSizes())));
INSTANTIATE_TEST_SUITE_P(Int8QueryHeads, AttentionTest, ::testing::ValuesIn(InInt8(QueryHeads())));
INSTANTIATE_TEST_SUITE_P(Int8Batches, AttentionTest, ::testing::ValuesIn(InInt8(Batches())));
INSTANTIATE_TEST_SUITE_P(Int8LargeScores, AttentionTest,
                         ::testing::ValuesIn(InInt8({{40, 8, 2, 20.0}, {325, 8, 2, 100.0}})));
// Scores up to 8 * 100^2: without the maximum taken off, exp would overflow.
INSTANTIATE_TEST_SUITE_P(LargeScores, AttentionTest,
                         ::testing::Values(AttentionCase{40, 8, 2, 20.0},
                                           AttentionCase{40, 8, 2, 100.0},
                                           AttentionCase{325, 8, 2, 20.0},
                                           AttentionCase{325, 8, 2, 100.0}));

TEST(AttentionManyTilesTest, WeighsInSegmentsOfTheActivationBuffer) {
  // 16 heads x 4 tiles = 64 vectors: two segments of the 32 that the buffer holds.
  Head head(1000, 4, 16);
  head.PlaceAll();
  std::mt19937 random{3};
  std::vector<float> sum(4, 0.0f);
  const std::vector<float> key(4, 0.0f);
  for (int t = 0; t < 1000; t += 37) {
    const std::vector<float> value = Rounded16(RandomFloats(random, 4));
    for (int d = 0; d < 4; ++d) sum[d] += value[d];
    head.SetStep(t, key, value);
    head.SetQueries(std::vector<float>(64, 1.0f));
    ASSERT_NO_FATAL_FAILURE(head.chip.Run());
    // All scores are zero: the mean over t + 1 positions, most of which hold zeros.
    for (int d = 0; d < 4; ++d) {
      const double want = sum[d] / (t + 1);
      EXPECT_NEAR(head.chip.Load16(head.east, 16)[15 * kLanes + d], want,
                  HalfError(want) + 64 * kUlp32);
    }
  }
}

// Of one position, where scores of all tiles come after equal times; what AttentionTest shows is
// the same either way.
TEST(ScoresTest, LargestOnesAreFoundAsScoresCome) {
  const auto found = [](int context, int batch) {
    Head head(context, 8, 8, 0, batch);
    return head.kernels().Scores(head.q, head.q_stride, 0, 8, head.keys, head.scores,
                                 head.largest());
  };
  for (int context : {100, 320, 960, 1000})
    EXPECT_EQ(found(context, 1), context != 1000) << context;
  EXPECT_FALSE(found(960, 2));
}

TEST(ScoresTest, LargestOnesOfEightHeadsAtALongContextTakeNoTimeOfTheirOwn) {
  const auto cycles = [](bool early) {
    Head head(12 * kTileRows, 8, 8);
    const bool found = head.kernels().Scores(head.q, head.q_stride, 0, 8, head.keys, head.scores,
                                             early ? head.largest() : std::nullopt);
    EXPECT_EQ(found, early);
    head.kernels().Softmax(head.scores, head.bias, head.maxima, 8, head.p, found);
    return head.chip.placer.spans().back().last;
  };
  EXPECT_LT(cycles(true) + 80, cycles(false));
}

TEST(SoftmaxTest, MaskedPositionsWeighNothingWhateverTheirScores) {
  for (int tiles : {1, 3}) {
    Head head(tiles * kTileRows, 8, 2);
    std::vector<float> scores = RandomFloats(head.chip.random, 2 * tiles * kLanes, -3e4, 3e4);
    std::vector<float> bias(tiles * kLanes, -1e30f);
    bias[17] = bias[40] = 0;
    head.chip.Store(head.scores, scores);
    head.chip.Store(head.bias, bias);
    head.kernels().Softmax(head.scores, head.bias, head.maxima, 2, head.p);
    ASSERT_NO_FATAL_FAILURE(head.chip.Run());
    const std::vector<float> p = head.chip.Load16(head.p, 2 * tiles);
    for (int h = 0; h < 2; ++h) {
      const float* s = &scores[h * tiles * kLanes];
      const float top = std::max(s[17], s[40]);
      for (int i = 0; i < tiles * kLanes; ++i) {
        const double want = bias[i] == 0 ? std::exp(double{s[i]} - top) : 0;
        ASSERT_NEAR(p[h * tiles * kLanes + i], want, bias[i] == 0 ? HalfError(want) : 0) << i;
      }
    }
  }
}

}  // namespace
}  // namespace lockstep
