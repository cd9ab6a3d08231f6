// Meeting points of progressions against enumeration.
#include "chip/progression.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace lockstep {
namespace {

std::vector<int64_t> Expand(const Indices& indices) {
  std::vector<int64_t> out;
  for (int64_t k = 0; k < indices.count; ++k) out.push_back(indices.first + k * indices.step);
  return out;
}

std::vector<int64_t> Enumerate(const Progression& a, const Progression& b) {
  std::set<int64_t> of_b;
  for (int64_t j = 0; j < b.count; ++j) of_b.insert(b.at(j));
  std::vector<int64_t> out;
  for (int64_t i = 0; i < a.count; ++i) {
    if (of_b.count(a.at(i)) > 0) out.push_back(i);
  }
  return out;
}

TEST(ProgressionTest, CommonIndicesAreThoseFoundByEnumeration) {
  std::mt19937 rng(1);
  const auto random = [&] {
    return Progression{static_cast<int64_t>(rng() % 60) - 30, 1 + static_cast<int64_t>(rng() % 15),
                       1 + static_cast<int64_t>(rng() % 20)};
  };
  for (int n = 0; n < 100000; ++n) {
    const Progression a = random(), b = random();
    ASSERT_EQ(Expand(CommonIndices(a, b)), Enumerate(a, b))
        << a.first << "," << a.period << "," << a.count << " and " << b.first << "," << b.period
        << "," << b.count;
  }
}

TEST(ProgressionTest, LongProgressionsMeetWithoutEnumeration) {
  const Progression a{5, 65521, 65535}, b{3, 65519, 65535};
  const Indices both = CommonIndices(a, b);
  ASSERT_EQ(both.count, 1);  // periods are coprime: at most one meeting in 65519 steps
  EXPECT_EQ((a.at(both.first) - b.first) % b.period, 0);
}

TEST(CoverageTest, ClaimsEachElementOnce) {
  std::mt19937 rng(2);
  Coverage coverage;
  for (int n = 0; n < 20000; ++n) {
    const int64_t size = 1 + static_cast<int64_t>(rng() % 30);
    std::set<int64_t> free;
    for (int64_t i = 0; i < size; ++i) free.insert(i);
    coverage.Reset(size);
    for (int claims = 0; claims < 5; ++claims) {
      Indices c{static_cast<int64_t>(rng() % size), 1 + static_cast<int64_t>(rng() % 3), 0};
      c.count = static_cast<int64_t>(rng() % ((size - 1 - c.first) / c.step + 2));
      int64_t expected = 0;
      for (int64_t i : Expand(c)) expected += static_cast<int64_t>(free.erase(i));
      ASSERT_EQ(coverage.Claim(c), expected);
      ASSERT_EQ(coverage.left(), static_cast<int64_t>(free.size()));
      if (free.empty()) break;
      ASSERT_EQ(coverage.first_free(), *free.begin());
    }
  }
}

}  // namespace
}  // namespace lockstep
