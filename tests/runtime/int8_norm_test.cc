// Norms that are quantised word by word: integers but for ties, scales and the rest against double
// precision.
#include "runtime/kernels/int8_norm.h"

#include <cmath>
#include <numeric>
#include <tuple>

#include "runtime/kernels/norm.h"
#include "tests/runtime/int8_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;
constexpr float kEps = 1e-5f;

struct Case {
  Case(int elements, double size, std::vector<int> sizes)
      : elements(elements), words(CeilDiv(elements, kLanes)), groups(std::move(sizes)) {
    values = RandomFloats(chip.random, elements, -size, size);
    gains = RandomFloats(chip.random, elements, -2, 2);
    values.resize(words * kLanes), gains.resize(words * kLanes);
    chip.Store(at.x, values);
    chip.Store(at.gain, gains);
    chip.Fill(at.scratch, Int8Norm::kScratch, 1e9f);
  }
  void Run(const std::vector<int>& order) {
    Int8Norm norm(chip.timing, chip.placer, {words, elements, kEps, groups}, at);
    for (int w : order) norm.Add(w);
    ASSERT_NO_FATAL_FAILURE(chip.Run());
  }
  // Largest |x * gain| of a group.
  double Largest(const std::vector<int>& group) const {
    double largest = 0;
    for (int w : group) {
      for (int i = w * kLanes; i < (w + 1) * kLanes; ++i) {
        largest = std::max(largest, std::abs(double{values[i]} * gains[i]));
      }
    }
    return largest;
  }

  Int8Chip chip;
  const int elements, words;
  const std::vector<int> groups;
  std::vector<float> values, gains;
  Int8Norm::Places at{{kWest, 0, 3},
                      {kEast, 0, 9},
                      {kEast, 2, 1},
                      {{{kWest, 1, 2, 0}, {kEast, 1, 2, 7}}},
                      {{{kWest, 1, 4000}, {kEast, 1, 4000}}},
                      {{kEast, 1, 5000}}};
};

// A product rounds once, the scale twice, its inverse four times.
TEST(Int8NormTest, QuantisesEachGroupByItsLargest) {
  for (const auto& [elements, sizes] : {std::pair<int, std::vector<int>>{8, {1}},
                                        {330, {2}},
                                        {1280, {2, 2}},
                                        {8192, {2, 4, 8, 12}},
                                        {8300, {14, 8, 2, 2}},
                                        {4096, {13}}}) {
    for (double size : {1e-4, 1.0, 500.0}) {
      Case c(elements, size, sizes);
      ASSERT_NO_FATAL_FAILURE(c.Run(InwardOrder(c.words)));
      const std::vector<int> q = c.chip.LoadBytes(c.at.q[0], c.words);
      EXPECT_EQ(q, c.chip.LoadBytes(c.at.q[1], c.words));
      const std::vector<int> order = InwardOrder(c.words);
      for (size_t g = 0, first = 0; g < sizes.size(); first += sizes[g++]) {
        const std::vector<int> group(order.begin() + first, order.begin() + first + sizes[g]);
        const double largest = c.Largest(group);
        for (Quad scale : c.at.scale) {
          const float got = c.chip.Load(scale + static_cast<int>(g), 1)[17];
          ASSERT_NEAR(got, largest / 127, 3 * kUlp32 * largest / 127);
        }
        for (int w : group) {
          for (int i = w * kLanes; i < (w + 1) * kLanes; ++i) {
            const double exact = double{c.values[i]} * c.gains[i] * 127 / largest;
            ASSERT_LE(std::abs(q[i] - exact), 0.5 + 1e-4) << "element " << i;
          }
        }
      }
    }
  }
}

// The mean of n squares is off by (words + 12) * 2^-24 (norm_test.cc), its root by half of that.
TEST(Int8NormTest, LeavesTheInverseRootOfTheMeanSquare) {
  for (int elements : {1, 319, 330, 2048, 8192}) {
    const int words = CeilDiv(elements, kLanes);
    Case c(elements, 3, {words});
    ASSERT_NO_FATAL_FAILURE(c.Run(InwardOrder(words)));
    double mean = 0;
    for (float v : c.values) mean += double{v} * v / elements;
    const double want = 1 / std::sqrt(mean + kEps);
    for (float v : c.chip.Load(c.at.rest[0], 1)) {
      ASSERT_NEAR(v, want, (words / 2.0 + 10) * kUlp32 * want);
    }
  }
}

TEST(Int8NormTest, TheOrderInWhichWordsComeDoesNotShow) {
  Case a(10 * kLanes, 3, {2, 4, 4}), b(10 * kLanes, 3, {2, 4, 4});
  ASSERT_NO_FATAL_FAILURE(a.Run(InwardOrder(10)));
  ASSERT_NO_FATAL_FAILURE(b.Run({9, 3, 0, 8, 4, 1, 2, 5, 7, 6}));
  EXPECT_EQ(a.chip.LoadBytes(a.at.q[0], 10), b.chip.LoadBytes(b.at.q[0], 10));
  EXPECT_EQ(a.chip.Load(a.at.scale[0], 3), b.chip.Load(b.at.scale[0], 3));
  EXPECT_EQ(a.chip.Load(a.at.rest[0], 1), b.chip.Load(b.at.rest[0], 1));
}

// Positions of a batch are normed as if each were alone, at any latencies.
TEST(Int8NormTest, ABatchGivesTheBitsOfEachPosition) {
  for (int percent : {50, 100, 200}) {
    for (const auto& [elements, batch, groups] :
         {std::tuple<int, int, std::vector<int>>{8, 2, {1}},
          {1300, 16, {2, 3}},
          {3100, 8, {2, 4, 4}},
          {1280, 4, {4}}}) {
      Int8Chip many(ChipTiming::Default().Scaled(percent));
      const int words = CeilDiv(elements, kLanes), sums = static_cast<int>(groups.size());
      const Int8Norm::Places at{{kWest, 0, 3},
                                {kEast, 0, 9},
                                {kEast, 2, 1},
                                {{{kWest, 1, 2, 0}, {kEast, 1, 2, 7}}},
                                {{{kWest, 1, 4000}, {kEast, 1, 4000}}},
                                {{kWest, 2, 5000}, {kEast, 2, 5000}}};
      std::vector<float> gains = RandomFloats(many.random, elements, -2, 2);
      gains.resize(size_t{1} * words * kLanes);
      std::vector<std::vector<float>> x;
      for (int i = 0; i < batch; ++i) {
        x.push_back(RandomFloats(many.random, elements, -i - 1, i + 1));
        x.back().resize(gains.size());
        many.Store(at.x + i * words, x.back());
      }
      many.Store(at.gain, gains);
      Int8Norm norm(many.timing, many.placer, {words, elements, kEps, groups, batch}, at);
      for (int w = 0; w < words; ++w) norm.Add(w);
      ASSERT_NO_FATAL_FAILURE(many.Run());
      for (int i = 0; i < batch; ++i) {
        Case one(elements, 1, groups);
        one.chip.Store(one.at.x, x[i]);
        one.chip.Store(one.at.gain, gains);
        ASSERT_NO_FATAL_FAILURE(one.Run(InwardOrder(words)));
        for (int side : {0, 1}) {
          EXPECT_EQ(many.LoadBytes(at.q[side] + i * words, words),
                    one.chip.LoadBytes(one.at.q[side], words));
          EXPECT_EQ(many.Load(at.scale[side] + i * sums, sums),
                    one.chip.Load(one.at.scale[side], sums));
          EXPECT_EQ(many.Load(at.rest[side] + i, 1), one.chip.Load(one.at.rest[0], 1));
        }
      }
    }
  }
}

TEST(Int8NormTest, ZerosStayZeros) {
  Case c(1280, 0, {2, 2});
  ASSERT_NO_FATAL_FAILURE(c.Run({0, 1, 2, 3}));
  EXPECT_EQ(c.chip.LoadBytes(c.at.q[0], 4), std::vector<int>(4 * kLanes));
  EXPECT_EQ(c.chip.Load(c.at.scale[0], 2), std::vector<float>(2 * kLanes));
}

TEST(Int8NormTest, LatenciesMayBeSwept) {
  for (int percent : {50, 150, 200}) {
    OneChip chip(ChipTiming::Default().Scaled(percent));
    const Int8Norm::Places at{{kWest, 0, 3},
                              {kEast, 0, 9},
                              {kEast, 2, 1},
                              {{{kWest, 1, 2, 0}, {kEast, 1, 2, 7}}},
                              {{{kWest, 1, 4000}, {kEast, 1, 4000}}},
                              {{kEast, 1, 5000}}};
    chip.Fill(at.x, 10, 2.0f);
    chip.Fill(at.gain, 10, 1.0f);
    Int8Norm norm(chip.timing, chip.placer, {10, 3200, kEps, {2, 4, 4}}, at);
    for (int w = 0; w < 10; ++w) norm.Add(w);
    ASSERT_NO_FATAL_FAILURE(chip.Run()) << percent;
  }
}

TEST(Int8GroupsTest, CoverAllWords) {
  for (int words = 1; words < 200; ++words) {
    for (const std::vector<int>& groups : {GrowingGroups(words), GroupsOfMade(words)}) {
      ASSERT_EQ(std::accumulate(groups.begin(), groups.end(), 0), words);
      for (int size : groups) ASSERT_GE(size, 1) << words;
    }
  }
  EXPECT_EQ(GrowingGroups(26), (std::vector{2, 4, 8, 12}));
  EXPECT_EQ(GroupsOfMade(12), (std::vector{9, 3}));
  EXPECT_EQ(GrowingGroups(3), std::vector{3});
}

}  // namespace
}  // namespace lockstep
