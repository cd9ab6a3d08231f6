// Attention against double precision: the cache position by position, scores, softmax, outputs.
#include "runtime/attention.h"

#include <bit>

#include "runtime/memory_map.h"
#include "tests/runtime/one_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

// One KV head with its query heads, and the operands of every kernel of attention.
class Head {
 public:
  Head(int context, int head_dim, int heads, int first_slot = 0)
      : shape{context, head_dim}, heads(heads), first_slot(first_slot) {
    const int tiles = shape.key_tiles(), queries = CeilDiv(first_slot + heads, 2);
    keys = map.WeightRows(kEast, shape.key_rows());
    ones = map.WeightRows(kEast, 1);
    values = map.WeightRows(kEast, shape.value_rows());
    k = map.PairWords(kEast, 1, 0, 1), v = map.PairWords(kEast, 1, 2, 1);
    q = map.PairWords(kEast, 1, 0, queries), p = map.PairWords(kEast, 1, 0, heads * tiles);
    identity = map.PairWords(kEast, 2, 0, head_dim), one_hot = map.PairWords(kEast, 2, 2, 1);
    key_maps = map.SingleWords(kEast, 0, 0, 16);
    read_map = map.SingleWords(kEast, 0, 1, 1), write_map = map.SingleWords(kEast, 0, 2, 1);
    scores = map.Words(kEast, 2, heads * tiles), weighed = map.Words(kEast, 2, heads);
    maxima = map.Words(kWest, 0, 2 * heads), low_half = map.Words(kWest, 1, 1);
    bias = map.Words(kWest, 1, tiles);
    west = map.PairWords(kWest, 0, 0, heads), east = map.PairWords(kEast, 0, 0, heads);
    StoreConstants();
  }

  Attention kernels() { return {chip.timing, chip.placer, shape, kEast}; }
  Attention::ValueTables tables() const { return {identity, one_hot, ones, read_map, write_map}; }

  void PlaceAppends() {
    kernels().AppendKey(k, key_maps, keys);
    kernels().AppendValue(v, tables(), values);
  }
  void PlaceAll() {
    PlaceAppends();
    kernels().Scores(q, first_slot, heads, keys, scores);
    kernels().Softmax(scores, bias, maxima, heads, p);
    kernels().Weigh(p, heads, values, weighed);
    kernels().Normalise(weighed, low_half, heads, west, east);
  }

  // The inputs of a step at `position`: what is appended, where, and what is masked.
  void SetStep(int position, const std::vector<float>& key, const std::vector<float>& value) {
    std::vector<float> twice(kLanes, 0.0f);
    std::copy(key.begin(), key.end(), twice.begin());
    std::copy(key.begin(), key.end(), twice.begin() + kHalfLanes);
    chip.Store(k, Halves(twice));
    chip.Store(v, Halves(value));
    const int row = position % kTileRows, half = row / kHalfLanes;
    for (int i = 0; i < 16; ++i) {
      const int offset = position / kTileRows * 10 + row % kHalfLanes / 16;
      chip.StoreMap(key_maps + i, row % 16 == i ? offset : 0xffff, half * 10, half * 10 + 10);
    }
    const int block = position / kHalfLanes * shape.block_rows();
    chip.StoreMap(read_map, block);
    chip.StoreMap(write_map, block);
    std::vector<uint16_t> hot(kLanes, 0);
    hot[position % kHalfLanes] = 0xffff;
    chip.Store(one_hot, hot);
    std::vector<float> mask(shape.key_tiles() * kLanes);
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = static_cast<int>(i) > position ? -1e30f : 0;
    chip.Store(bias, mask);
  }
  // Queries, a lane half each.
  void SetQueries(const std::vector<float>& queries) {
    std::vector<float> lanes(CeilDiv(first_slot + heads, 2) * kLanes, 5.0f);
    for (int h = 0; h < heads; ++h) {
      for (int i = 0; i < kHalfLanes; ++i) {
        lanes[(first_slot + h) * kHalfLanes + i] =
            i < shape.head_dim ? queries[h * shape.head_dim + i] : 0;
      }
    }
    chip.Store(q, Halves(lanes));
  }

  std::vector<float> CachedKey(int position) {
    const int row = position % kTileRows;
    const int address = keys + position / kTileRows * 10 + row % kHalfLanes / 16;
    return WeightLanes(row % 16, address, row / kHalfLanes * kHalfLanes, shape.head_dim, 1);
  }
  std::vector<float> CachedValue(int position) {
    std::vector<float> out;
    for (int d = 0; d < shape.head_dim; ++d) {
      const int address = values + position / kHalfLanes * shape.block_rows() + d / 16;
      out.push_back(WeightLanes(d % 16, address, position % kHalfLanes, 1, 1)[0]);
    }
    return out;
  }

  OneChip chip;
  const CacheShape shape;
  const int heads, first_slot;
  MemoryMap map;
  int keys, values, ones;
  Pair k{}, v{}, q{}, p{}, identity{}, one_hot{}, west{}, east{};
  Single key_maps{}, read_map{}, write_map{};
  Quad scores{}, weighed{}, maxima{}, low_half{}, bias{};

 private:
  void StoreConstants() {
    for (int d = 0; d < shape.head_dim; ++d) {
      std::vector<uint16_t> hot(kLanes, 0);
      hot[d] = 0xffff;
      chip.Store(identity + d, hot);
    }
    std::vector<float> low(kLanes, 0.0f);
    std::fill_n(low.begin(), kHalfLanes, std::bit_cast<float>(0xffffffffu));
    chip.Store(low_half, low);
    const std::vector<uint8_t> one(kHalfLanes, 0x3c), zero(kHalfLanes, 0);
    for (int pair = 0; pair < 16; ++pair) {
      const auto put = [&](int address, int lane) {
        chip.memory.Store(WeightSlice(kEast, 2 * pair), address, lane, zero);
        chip.memory.Store(WeightSlice(kEast, 2 * pair + 1), address, lane, one);
      };
      put(ones, 0);
      for (int r = 0; r < shape.value_rows(); ++r) put(values + r, kHalfLanes);
    }
  }
  std::vector<float> WeightLanes(int pair, int address, int first, int count, int stride) {
    std::array<uint8_t, kVectorBytes> low, high;
    chip.memory.Load(WeightSlice(kEast, 2 * pair), address, low);
    chip.memory.Load(WeightSlice(kEast, 2 * pair + 1), address, high);
    std::vector<float> out;
    for (int i = first; i < first + count * stride; i += stride) {
      out.push_back(HalfToFloat(static_cast<uint16_t>(low[i] | high[i] << 8)));
    }
    return out;
  }
};

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
                         ::testing::Combine(::testing::Values(2, 4, 8, 16, 18, 64, 80, 128, 160),
                                            ::testing::Values(1, 5, 160, 161, 320, 321, 700)));

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
// and the rest by 16 more. Last comes one rounding of the output.

class AttentionTest : public ::testing::TestWithParam<std::tuple<int, int, int, double>> {
 protected:
  std::vector<double> Reference(const Head& head, const std::vector<float>& queries,
                                const std::vector<std::vector<float>>& keys,
                                const std::vector<std::vector<float>>& values, double* largest) {
    const int d = head.shape.head_dim;
    std::vector<double> out(head.heads * kLanes, 0.0);
    for (int h = 0; h < head.heads; ++h) {
      std::vector<double> s(keys.size(), 0.0);
      for (size_t t = 0; t < keys.size(); ++t) {
        for (int i = 0; i < d; ++i) s[t] += double{queries[h * d + i]} * keys[t][i];
        *largest = std::max(*largest, std::abs(s[t]));
      }
      const double top = *std::max_element(s.begin(), s.end());
      double sum = 0;
      for (double& e : s) e = std::exp(e - top), sum += e;
      for (size_t t = 0; t < keys.size(); ++t) {
        for (int i = 0; i < d; ++i) out[h * kLanes + i] += s[t] / sum * values[t][i];
      }
    }
    return out;
  }
};

TEST_P(AttentionTest, AgreesWithDoublePrecisionAtEveryEdge) {
  const auto [context, head_dim, heads, size] = GetParam();
  Head head(context, head_dim, heads, heads % 3);
  head.PlaceAll();
  std::vector<std::vector<float>> keys, values;
  const double v_max = 4;
  for (int t = 0; t < context; ++t) {
    keys.push_back(Rounded16(RandomFloats(head.chip.random, head_dim, -size, size)));
    values.push_back(Rounded16(RandomFloats(head.chip.random, head_dim, -v_max, v_max)));
    const std::vector<float> queries =
        Rounded16(RandomFloats(head.chip.random, heads * head_dim, -size, size));
    head.SetStep(t, keys.back(), values.back());
    head.SetQueries(queries);
    ASSERT_NO_FATAL_FAILURE(head.chip.Run());
    if (t > 2 && t + 1 < context && t % 160 > 1 && t % 160 < 158 && t % 97 != 0) continue;
    double largest = 0;
    const std::vector<double> want = Reference(head, queries, keys, values, &largest);
    ASSERT_TRUE(AllNear(head.chip.Load16(head.east, heads), want, [&](size_t i) {
      return HalfError(want[i]) + 2 * v_max * (0x1p-11 + (t + 1) * 0x1p-25) +
             2 * v_max * (4 * largest + 16) * kUlp32;
    })) << "position " << t;
    ASSERT_EQ(head.chip.Load16(head.west, heads), head.chip.Load16(head.east, heads));
  }
}

INSTANTIATE_TEST_SUITE_P(Contexts, AttentionTest,
                         ::testing::Combine(::testing::Values(1, 5, 160, 161, 320, 321, 700),
                                            ::testing::Values(8, 80), ::testing::Values(1, 2),
                                            ::testing::Values(1.0)));
INSTANTIATE_TEST_SUITE_P(HeadSizes, AttentionTest,
                         ::testing::Combine(::testing::Values(33),
                                            ::testing::Values(2, 4, 16, 64, 128, 160),
                                            ::testing::Values(3), ::testing::Values(0.5)));
INSTANTIATE_TEST_SUITE_P(QueryHeads, AttentionTest,
                         ::testing::Combine(::testing::Values(170, 330), ::testing::Values(6),
                                            ::testing::Values(4, 5, 7, 8, 12, 13, 15, 16),
                                            ::testing::Values(1.0)));
// Scores up to 8 * 100^2: without the maximum taken off, exp would overflow.
INSTANTIATE_TEST_SUITE_P(LargeScores, AttentionTest,
                         ::testing::Combine(::testing::Values(40, 325), ::testing::Values(8),
                                            ::testing::Values(2), ::testing::Values(20.0, 100.0)));

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
