// fp16 and int8 dot products against exact integer sums, bit for bit, on every SIMD target. The
// reference works in integers only: an fp16 value is an integer times 2^-24, a product an integer
// times 2^-48, a sum of 160 fits in 90 bits, and the rounding to fp32 is done on the integer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "chip/numerics.h"
#include "tests/chip/numerics_testing.h"

namespace lockstep {
namespace {

using testing::ForEachTarget;
using testing::Random;

constexpr int kRows = 40;  // that share an activation
constexpr uint32_t kNan = 0x7FC00000;

bool IsSpecial(uint16_t h) { return (h & 0x7C00) == 0x7C00; }
bool IsNan(uint16_t h) { return (h & 0x7FFF) > 0x7C00; }

// A finite fp16 value in units of 2^-24.
int64_t Units(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const int64_t size = exponent == 0 ? mantissa : int64_t{1024 + mantissa} << (exponent - 1);
  return h & 0x8000 ? -size : size;
}

float ToFloat(uint16_t h) {
  if (IsNan(h)) return std::bit_cast<float>(kNan | (h & 0x3FF));
  if (IsSpecial(h)) return h & 0x8000 ? -INFINITY : INFINITY;
  const float size = std::ldexp(static_cast<float>(Units(h & 0x7FFF)), -24);
  return h & 0x8000 ? -size : size;
}

// sum * 2^-48 to the bits of the nearest fp32, ties to even.
uint32_t RoundSum(__int128 sum) {
  if (sum == 0) return 0;
  const uint32_t sign = sum < 0 ? 0x80000000u : 0;
  unsigned __int128 size = sum < 0 ? -sum : sum;
  int exponent = -48;  // size * 2^exponent, brought to 24 bits
  bool half = false, rest = false;
  while (size >> 24 != 0) {
    rest |= half;
    half = size & 1;
    size >>= 1;
    ++exponent;
  }
  if (half && (rest || (size & 1))) ++size;
  const float value = std::ldexp(static_cast<float>(static_cast<uint32_t>(size)), exponent);
  return sign | std::bit_cast<uint32_t>(value);
}

using Row = std::array<uint16_t, kFp16Terms>;

uint32_t ExactDot(const Row& w, const Row& a, const std::vector<int64_t>& units) {
  bool plus = false, minus = false, special = false;
  __int128 sum = 0;
  for (int k = 0; k < kFp16Terms; ++k) {
    if (!IsSpecial(w[k]) && !IsSpecial(a[k])) {
      sum += static_cast<__int128>(units[w[k]]) * units[a[k]];
      continue;
    }
    special = true;
    if (IsNan(w[k]) || IsNan(a[k])) return kNan;
    if ((w[k] & 0x7FFF) == 0 || (a[k] & 0x7FFF) == 0) return kNan;
    ((w[k] ^ a[k]) & 0x8000 ? minus : plus) = true;
  }
  if (plus && minus) return kNan;
  if (special) return plus ? 0x7F800000 : 0xFF800000;
  return RoundSum(sum);
}

enum class Kind { kAnyBits, kFinite, kTypical, kFewSpecials, kCancelling, kTies, kSparse, kZeroSum };
constexpr Kind kKinds[] = {Kind::kAnyBits,    Kind::kFinite, Kind::kTypical, Kind::kFewSpecials,
                           Kind::kCancelling, Kind::kTies,   Kind::kSparse,  Kind::kZeroSum};

uint16_t RandomHalf(Kind kind, Random& random) {
  const auto bits = static_cast<uint16_t>(random.Next() >> 48);
  if (kind == Kind::kAnyBits) return bits;
  if (kind == Kind::kTypical) return static_cast<uint16_t>((bits & 0x8FFF) | 0x2000);  // 2^-7..2^-3
  if (kind == Kind::kSparse && bits % 8 != 0) return bits & 0x8000;
  return IsSpecial(bits) ? static_cast<uint16_t>(bits ^ 0x4000) : bits;
}

// Small power of two: fp16 bits of 2^e, -14 <= e <= 15.
uint16_t PowerOfTwo(int e) { return static_cast<uint16_t>((e + 15) << 10); }

void MakeActivation(Kind kind, Random& random, Row& a) {
  for (auto& h : a) h = RandomHalf(kind, random);
  if (kind == Kind::kTies) a.fill(PowerOfTwo(0));
  if (kind == Kind::kTies) a[0] = PowerOfTwo(12), a[1] = PowerOfTwo(-14);
  if (kind != Kind::kCancelling && kind != Kind::kZeroSum) return;
  for (int k = 0; k < kFp16Terms / 2; ++k) a[kFp16Terms - 1 - k] = a[k];
}

void MakeRow(Kind kind, Random& random, Row& w) {
  for (auto& h : w) h = RandomHalf(kind, random);
  if (kind == Kind::kFewSpecials) {
    const uint16_t values[] = {0x7C00, 0xFC00, 0x7C01, 0xFE00};
    const uint32_t count = random.Below(4);
    for (uint32_t i = 0; i < count; ++i) w[random.Below(160)] = values[random.Below(8) % 5 % 4];
  }
  if (kind == Kind::kTies) {  // an odd 25-bit integer is a tie; 2^-28 more or less breaks it
    for (auto& h : w) h = 0;
    w[0] = static_cast<uint16_t>(PowerOfTwo(12) | random.Below(1024));
    w[2 + random.Below(158)] = static_cast<uint16_t>(PowerOfTwo(10) | random.Below(1024));
    w[1] = random.Below(3) == 0 ? 0 : static_cast<uint16_t>(PowerOfTwo(-14) | (random.Next() & 0x8000));
  }
  if (kind != Kind::kCancelling && kind != Kind::kZeroSum) return;
  for (int k = 0; k < kFp16Terms / 2; ++k) w[kFp16Terms - 1 - k] = w[k] ^ 0x8000;
  if (kind == Kind::kZeroSum) return;
  for (int i = 0; i < 3; ++i) w[random.Below(kFp16Terms)] = random.Below(2048) | 0x8000;
}

// One activation and kRows rows, as planes, with the exact results.
struct Case {
  Row activation;
  std::array<float, kFp16Terms> wide;
  std::array<Row, kRows> weights;
  std::array<std::array<uint8_t, 2 * kFp16Terms>, kRows> planes;
  std::array<Fp16Row, kRows> rows;
  std::array<uint32_t, kRows> expected;

  void Fill(Kind kind, Random& random, const std::vector<int64_t>& units) {
    MakeActivation(kind, random, activation);
    for (int k = 0; k < kFp16Terms; ++k) wide[k] = ToFloat(activation[k]);
    for (int n = 0; n < kRows; ++n) {
      MakeRow(kind, random, weights[n]);
      for (int k = 0; k < kFp16Terms; ++k) {
        planes[n][k] = weights[n][k] & 0xFF;
        planes[n][kFp16Terms + k] = weights[n][k] >> 8;
      }
      rows[n] = {planes[n].data(), planes[n].data() + kFp16Terms};
      expected[n] = ExactDot(weights[n], activation, units);
    }
  }
};

class Fp16DotTest : public ::testing::Test {
 protected:
  Fp16DotTest() : units_(65536) {
    for (int h = 0; h < 65536; ++h) units_[h] = IsSpecial(h) ? 0 : Units(h);
  }
  std::array<uint32_t, kRows> MatVec(const Case& c) {
    std::array<uint32_t, kRows> out;
    Fp16MatVec(c.rows.data(), kRows, c.wide.data(), reinterpret_cast<float*>(out.data()));
    return out;
  }
  std::vector<int64_t> units_;
};

TEST_F(Fp16DotTest, EqualsTheExactSumRoundedOnceOnEveryTarget) {
  Random random(1);
  int64_t dots = 0;
  std::vector<Case> cases(256);
  for (int round = 0; round < 13; ++round) {
    for (Kind kind : kKinds) {
      for (Case& c : cases) c.Fill(kind, random, units_);
      ForEachTarget([&](const char* target) {
        for (const Case& c : cases) {
          ASSERT_EQ(MatVec(c), c.expected) << target << " kind " << static_cast<int>(kind);
        }
      });
      dots += int64_t{kRows} * static_cast<int64_t>(cases.size());
    }
  }
  EXPECT_GE(dots, 1'000'000);
}

TEST_F(Fp16DotTest, BatchGivesTheSameBitsAsOneByOne) {
  Random random(2);
  ForEachTarget([&](const char* target) {
    for (int batch = 1; batch <= 19; ++batch) {
      std::vector<Case> cases(batch);
      std::vector<std::array<float, kRows>> outs(batch);
      std::vector<const float*> activations;
      std::vector<float*> out;
      for (int b = 0; b < batch; ++b) {
        cases[b].Fill(kKinds[(batch + b) % 8], random, units_);
        activations.push_back(cases[b].wide.data());
        out.push_back(outs[b].data());
      }
      Fp16MatMul(cases[0].rows.data(), kRows, activations.data(), batch, out.data());
      for (int b = 0; b < batch; ++b) {
        for (int n = 0; n < kRows; ++n) {
          ASSERT_EQ(std::bit_cast<uint32_t>(outs[b][n]),
                    ExactDot(cases[0].weights[n], cases[b].activation, units_))
              << target << " batch " << batch;
        }
      }
    }
  });
}

TEST_F(Fp16DotTest, NullRowsAreZeroAndCountsNeedNotBeMultiplesOfTheGroup) {
  Random random(3);
  Case c;
  c.Fill(Kind::kFinite, random, units_);
  for (int n = 0; n < kRows; n += 3) c.rows[n] = {}, c.expected[n] = 0;
  ForEachTarget([&](const char* target) {
    for (int count = 0; count <= kRows; ++count) {
      std::array<uint32_t, kRows + 1> out;
      out.fill(0xABCD);
      Fp16MatVec(c.rows.data(), count, c.wide.data(), reinterpret_cast<float*>(out.data()));
      for (int n = 0; n < count; ++n) ASSERT_EQ(out[n], c.expected[n]) << target << " row " << n;
      ASSERT_EQ(out[count], 0xABCDu) << target << " wrote past the end";
    }
  });
}

TEST_F(Fp16DotTest, InfinityTimesANullRowIsNan) {
  std::array<float, kFp16Terms> a{};
  a[7] = INFINITY;
  Fp16Row row;
  ForEachTarget([&](const char* target) {
    float out = 0;
    Fp16MatVec(&row, 1, a.data(), &out);
    EXPECT_EQ(std::bit_cast<uint32_t>(out), kNan) << target;
  });
}

TEST_F(Fp16DotTest, ASumOfNegativeZerosIsPositiveZero) {
  std::array<float, kFp16Terms> a;
  a.fill(-0.0f);
  std::array<uint8_t, kFp16Terms> lo{}, hi;
  hi.fill(0x3C);  // 1.0
  Fp16Row row{lo.data(), hi.data()};
  ForEachTarget([&](const char* target) {
    float out = 1;
    Fp16MatVec(&row, 1, a.data(), &out);
    EXPECT_EQ(std::bit_cast<uint32_t>(out), 0u) << target;
  });
}

TEST(Int8DotTest, IsExactOnEveryTarget) {
  Random random(4);
  std::vector<std::array<uint8_t, kInt8Terms>> data(24);
  ForEachTarget([&](const char* target) {
    for (int count = 0; count < 24; ++count) {
      for (auto& row : data) {
        for (auto& b : row) b = random.Below(4) == 0 ? 0x80 : random.Below(256);
      }
      if (count % 4 == 1) data[0].fill(0x80), data[23].fill(0x80);
      std::vector<const uint8_t*> rows;
      for (int n = 0; n < count; ++n) rows.push_back(n % 5 == 4 ? nullptr : data[n].data());
      std::vector<int32_t> out(count), expected(count);
      Int8MatVec(rows.data(), count, data[23].data(), out.data());
      for (int n = 0; n < count; ++n) {
        for (int k = 0; rows[n] != nullptr && k < kInt8Terms; ++k) {
          expected[n] += int32_t{static_cast<int8_t>(rows[n][k])} * static_cast<int8_t>(data[23][k]);
        }
      }
      ASSERT_EQ(out, expected) << target;
    }
  });
}

TEST(AccumulateTest, Int32WrapsAndFp32RoundsWithCanonicalNan) {
  ForEachTarget([&](const char* target) {
    std::vector<int32_t> i(321, INT32_MAX);
    const std::vector<int32_t> one(321, 1);
    AddI32(i.data(), one.data(), 321);
    EXPECT_THAT(i, ::testing::Each(INT32_MIN)) << target;
    std::vector<float> f(321, 0x1p24f);
    const std::vector<float> odd(321, 3.0f);
    AddF32(f.data(), odd.data(), 321);
    EXPECT_THAT(f, ::testing::Each(0x1p24f + 4)) << target;  // a tie goes to even
    float nan = std::bit_cast<float>(0xFFC12345);
    AddF32(&nan, odd.data(), 1);
    EXPECT_EQ(std::bit_cast<uint32_t>(nan), kNan) << target;
  });
}

}  // namespace
}  // namespace lockstep
