// The int8 KV cache: integers and scales of every position as they are defined, others untouched.
// What attention makes of them: attention_test.cc.
#include "runtime/kernels/int8_cache.h"

#include <map>

#include "tests/runtime/attention_head.h"

namespace lockstep {
namespace {

class Int8Head : public AttentionHead {
 public:
  Int8Head(int context, int head_dim, int batch = 1)
      : AttentionHead(context, head_dim, 1, 0, batch, NumberFormat::kInt8) {
    PlaceAppends();
  }

  // Appends `batch` keys and values at position t, and keeps them.
  void Append(int t, double size) {
    std::vector<float> all_keys, all_values;
    for (int i = 0; i < batch; ++i) {
      keys_[t + i] = Rounded16(RandomFloats(chip.random, shape.head_dim, -size, size));
      values_[t + i] = Rounded16(RandomFloats(chip.random, shape.head_dim, -3 * size, 3 * size));
      all_keys.insert(all_keys.end(), keys_[t + i].begin(), keys_[t + i].end());
      all_values.insert(all_values.end(), values_[t + i].begin(), values_[t + i].end());
    }
    SetStep(t, all_keys, all_values);
    ASSERT_NO_FATAL_FAILURE(chip.Run());
  }
  void ExpectAll() {
    for (const auto& [t, key] : keys_) {
      ExpectQuantised(key, CachedKey(t), CachedScale(scales.keys, t) * 127.0, t);
      ExpectQuantised(values_[t], CachedValue(t), CachedScale(scales.values, t), t);
    }
  }

 private:
  // Every integer is the nearest to x * 127 / max, but within 1e-5 of a tie.
  static void ExpectQuantised(const std::vector<float>& x, const std::vector<float>& q,
                              double largest, int t) {
    double want = 0;
    for (float v : x) want = std::max(want, std::abs(double{v}));
    ASSERT_NEAR(largest, want, want * 2 * kUlp32) << "position " << t;
    ASSERT_EQ(q.size(), x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = want == 0 ? 0 : x[i] * 127.0 / want;
      ASSERT_LE(std::abs(q[i] - exact), 0.5 + 1e-5) << "position " << t << ", element " << i;
    }
  }
  std::map<int, std::vector<float>> keys_, values_;
};

class Int8CacheTest : public ::testing::TestWithParam<std::tuple<int, int>> {};

TEST_P(Int8CacheTest, HoldsWhatWasAppendedAndNothingElseMoves) {
  const auto [head_dim, context] = GetParam();
  Int8Head head(context, head_dim);
  for (int t : {0, 1, 15, 16, 31, 32, 33, 159, 160, 161, 191, 192, 318, 319, 320, 321, 481, 699}) {
    if (t >= context) break;
    ASSERT_NO_FATAL_FAILURE(head.Append(t, 0.1 + t));
  }
  ASSERT_NO_FATAL_FAILURE(head.ExpectAll());
  for (int t = 2; t < std::min(14, context); ++t) {
    EXPECT_EQ(head.CachedValue(t), std::vector<float>(head_dim, 0.0f)) << t;
    EXPECT_EQ(head.CachedScale(head.scales.keys, t), 0) << t;
    EXPECT_EQ(head.CachedScale(head.scales.values, t), 0) << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Int8CacheTest,
                         ::testing::Combine(::testing::Values(1, 2, 15, 16, 17, 31, 32, 33, 80, 128,
                                                              160, 161, 256, 321, 512),
                                            ::testing::Values(1, 5, 160, 161, 320, 321, 700)));

// A batch writes the same cache as its positions one by one, at every place of a block and a tile.
TEST(Int8CacheBatchTest, HoldsEveryPositionOfEveryBatch) {
  for (int head_dim : {7, 160, 163}) {
    for (int batch : {2, 4, 8, 16}) {
      Int8Head head(336, head_dim, batch);
      for (int t : {0, 16, 160 - batch, 160, 304, 320}) ASSERT_NO_FATAL_FAILURE(head.Append(t, 2));
      ASSERT_NO_FATAL_FAILURE(head.ExpectAll());
      EXPECT_EQ(head.CachedValue(48), std::vector<float>(head_dim, 0.0f));
    }
  }
}

TEST(Int8CacheAgainTest, AnAppendReplacesWhatAnEarlierTextLeft) {
  Int8Head head(400, 20);
  for (double size : {60000.0, 3.0, 0.25}) {
    for (int t : {0, 7, 170, 330}) ASSERT_NO_FATAL_FAILURE(head.Append(t, size / 3));
    ASSERT_NO_FATAL_FAILURE(head.ExpectAll());
  }
}

TEST(Int8CacheZeroTest, ZerosHaveScaleZero) {
  Int8Head head(8, 4);
  ASSERT_NO_FATAL_FAILURE(head.Append(3, 1.0));
  ASSERT_NO_FATAL_FAILURE(head.Append(3, 0.0));
  ASSERT_NO_FATAL_FAILURE(head.ExpectAll());
  EXPECT_EQ(head.CachedValue(3), std::vector<float>(4, 0.0f));
}

// Twice as many rows to a word, and twice as many positions to a row of values.
TEST(CacheShapeTest, Int8TakesHalfTheRowsOfKeysAndAQuarterOfThoseOfValues) {
  for (int head_dim : {64, 128, 160, 512}) {
    const CacheShape half{4160, head_dim}, int8{4160, head_dim, NumberFormat::kInt8};
    EXPECT_EQ(2 * int8.key_rows(), half.key_rows());
    EXPECT_EQ(4 * int8.value_rows(), half.value_rows());
  }
}

}  // namespace
}  // namespace lockstep
