// Greedy and drawn tokens: who may be drawn, how often, and that a seed fixes everything.

#include "runtime/model/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int> Draw(SamplerOptions options, const std::vector<float>& logits, int times) {
  options.greedy = false;
  auto sampler = Sampler::Create(options);
  EXPECT_TRUE(sampler.ok()) << sampler.status();
  std::vector<int> counts(logits.size());
  for (int i = 0; i < times; ++i) ++counts[static_cast<size_t>(*sampler->Sample(logits))];
  return counts;
}

TEST(SamplerTest, GreedyTakesTheGreatestAndTheLowestIdOfEquals) {
  auto sampler = Sampler::Create({});
  EXPECT_EQ(*sampler->Sample(std::vector<float>{1, 3, 2}), 1);
  EXPECT_EQ(*sampler->Sample(std::vector<float>{1, 3, 3}), 1);
  EXPECT_EQ(*sampler->Sample(std::vector<float>{-0.0f, 0.0f}), 0);
  EXPECT_EQ(*sampler->Sample(std::vector<float>{-INFINITY, -5}), 1);
}

TEST(SamplerTest, FrequenciesFollowTheSoftmaxAtTheTemperature) {
  // Weights 1 : 2 : 4 at temperature 1 and 1 : 4 : 16 at one half.
  const std::vector<float> logits = {0, std::log(2.0f), std::log(4.0f)};
  const std::vector<int> warm = Draw({.seed = 3}, logits, 70'000);
  const std::vector<int> cold = Draw({.temperature = 0.5, .seed = 3}, logits, 21'000);
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(warm[i], 10'000 * (1 << i), 500) << i;
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(cold[i], 1'000 * (1 << (2 * i)), 250) << i;
}

TEST(SamplerTest, TopKLeavesTheKLikeliestAndTheLowerIdsOfEquals) {
  EXPECT_THAT(Draw({.top_k = 1}, {1, 2, 2, 0}, 100), ElementsAre(0, 100, 0, 0));
  const std::vector<int> two = Draw({.top_k = 2}, {2, 2, 2, 2}, 1000);
  EXPECT_EQ(two[0] + two[1], 1000);
  EXPECT_GT(two[1], 0);
}

TEST(SamplerTest, TopPLeavesTheSmallestSetThatReachesIt) {
  // Probabilities 1/2, 1/4, 1/8, 1/8.
  const std::vector<float> logits = {std::log(4.0f), std::log(2.0f), 0, 0};
  EXPECT_THAT(Draw({.top_p = 0.49}, logits, 200), ElementsAre(200, 0, 0, 0));
  const std::vector<int> three_quarters = Draw({.top_p = 0.74}, logits, 1000);
  EXPECT_EQ(three_quarters[0] + three_quarters[1], 1000);
  EXPECT_GT(three_quarters[1], 200);
  EXPECT_GT(Draw({.top_p = 1.0}, logits, 1000)[3], 0);
}

TEST(SamplerTest, ASeedFixesTheSequenceAndAnotherSeedChangesIt) {
  const std::vector<float> logits(1000, 0.0f);
  EXPECT_EQ(Draw({.seed = 7}, logits, 50), Draw({.seed = 7}, logits, 50));
  EXPECT_NE(Draw({.seed = 7}, logits, 50), Draw({.seed = 8}, logits, 50));
}

TEST(SamplerTest, TheImpossibleIsNeverDrawn) {
  EXPECT_EQ(Draw({}, {-INFINITY, 0, -INFINITY}, 100)[1], 100);
  EXPECT_EQ(Draw({.temperature = 1e-300}, {1, 2}, 100)[1], 100);
}

TEST(SamplerTest, LogitsThatAreNoNumbersAreNamed) {
  auto sampler = Sampler::Create({});
  const auto error = [&](const std::vector<float>& logits) {
    return sampler->Sample(logits).status().ToString();
  };
  EXPECT_THAT(error({0, NAN}), HasSubstr("logit 1 is nan"));
  EXPECT_THAT(error({INFINITY}), HasSubstr("logit 0 is inf"));
  EXPECT_FALSE(sampler->Sample(std::vector<float>{-INFINITY}).ok());
  EXPECT_FALSE(sampler->Sample({}).ok());
}

TEST(SamplerTest, EveryOptionOutOfRangeIsNamed) {
  const auto error = [](const SamplerOptions& options) {
    return Sampler::Create(options).status().ToString();
  };
  EXPECT_THAT(error({.temperature = 0}), HasSubstr("temperature is 0"));
  EXPECT_THAT(error({.temperature = NAN}), HasSubstr("temperature is nan"));
  EXPECT_THAT(error({.temperature = INFINITY}), HasSubstr("temperature is inf"));
  EXPECT_THAT(error({.top_k = -1}), HasSubstr("top_k is -1"));
  EXPECT_THAT(error({.top_p = 0}), HasSubstr("top_p is 0"));
  EXPECT_THAT(error({.top_p = 1.01}), HasSubstr("top_p is 1.01"));
}

TEST(SamplerTest, TheGeneratorIsTheSameOnEveryHost) {
  // splitmix64 of seed 0 begins with these words (Vigna's reference); the first output of
  // xoshiro256** is rotl(word1 * 5, 7) * 9.
  const uint64_t word1 = 0x6e789e6aa1b965f4ull;
  RandomBits random(0);
  EXPECT_EQ(random.Next(), std::rotl(word1 * 5, 7) * 9);
  const double unit = random.NextUnit();
  EXPECT_TRUE(unit >= 0 && unit < 1);
}

}  // namespace
}  // namespace lockstep
