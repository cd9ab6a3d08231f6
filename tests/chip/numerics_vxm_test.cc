// The VXM's elementwise arithmetic against slow, obvious references in long double, one element at
// a time, on every SIMD target. Elements travel as bit patterns, so NaN and -0 are compared too.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "chip/numerics.h"
#include "tests/chip/numerics_testing.h"

namespace lockstep {
namespace {

using testing::ForEachTarget;
using testing::Random;
using Bits = std::vector<uint32_t>;
using Real = long double;

constexpr NumericType kTypes[] = {NumericType::kInt8, NumericType::kInt16, NumericType::kInt32,
                                  NumericType::kFp16, NumericType::kFp32};
constexpr Real kInf = std::numeric_limits<Real>::infinity();

int Width(NumericType t) { return 8 * ElementBytes(t); }
uint32_t Ones(NumericType t) { return static_cast<uint32_t>((uint64_t{1} << Width(t)) - 1); }

std::vector<uint8_t> Pack(const Bits& bits, NumericType t) {
  std::vector<uint8_t> bytes(bits.size() * ElementBytes(t));
  for (size_t i = 0; i < bits.size(); ++i) {
    std::memcpy(&bytes[i * ElementBytes(t)], &bits[i], ElementBytes(t));
  }
  return bytes;
}

Bits Unpack(const std::vector<uint8_t>& bytes, NumericType t) {
  Bits bits(bytes.size() / ElementBytes(t));
  for (size_t i = 0; i < bits.size(); ++i) {
    std::memcpy(&bits[i], &bytes[i * ElementBytes(t)], ElementBytes(t));
  }
  return bits;
}

Real Value(NumericType t, uint32_t bits) {
  if (t == NumericType::kFp32) return std::bit_cast<float>(bits);
  if (t == NumericType::kFp16) {
    const Real sign = bits & 0x8000 ? -1 : 1;
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 31) return mantissa ? std::numeric_limits<Real>::quiet_NaN() : sign * kInf;
    return sign *
           std::ldexp(Real(exponent ? 1024 + mantissa : mantissa), exponent ? exponent - 25 : -24);
  }
  return static_cast<int32_t>(bits << (32 - Width(t))) >> (32 - Width(t));
}

// The fp16 nearest to v.
uint32_t RoundToHalf(Real v) {
  if (std::isnan(v)) return 0x7E00;
  const uint32_t sign = std::signbit(v) ? 0x8000 : 0;
  const Real size = std::fabs(v);
  if (size >= 65520) return sign | 0x7C00;
  if (size == 0) return sign;
  const int exponent = std::max(std::ilogb(size), -14);
  const Real steps = std::nearbyint(std::ldexp(size, 10 - exponent));
  const Real r = std::ldexp(steps, exponent - 10);
  if (r < 0x1p-14L) return sign | static_cast<uint32_t>(std::ldexp(r, 24));
  if (r >= 65536) return sign | 0x7C00;
  const int e = std::ilogb(r);
  return sign | (static_cast<uint32_t>(e + 15) << 10) |
         static_cast<uint32_t>(std::ldexp(r, 10 - e) - 1024);
}

// The element of type t nearest to v; integers saturate.
uint32_t Nearest(NumericType t, Real v) {
  if (t == NumericType::kFp16) return RoundToHalf(v);
  if (t == NumericType::kFp32) {
    return std::isnan(v) ? 0x7FC00000 : std::bit_cast<uint32_t>(static_cast<float>(v));
  }
  if (std::isnan(v)) return 0;
  const Real high = std::ldexp(Real(1), Width(t) - 1);
  const Real r = std::min(std::max(std::nearbyint(v), -high), high - 1);
  return static_cast<uint32_t>(static_cast<int64_t>(r)) & Ones(t);
}

uint32_t Wrapped(NumericType t, Real v) {
  return static_cast<uint32_t>(static_cast<int64_t>(v)) & Ones(t);
}

uint32_t Arithmetic(BinaryOp op, NumericType t, Real x, Real y) {
  const bool add = op == BinaryOp::kAdd || op == BinaryOp::kAddSaturating;
  const bool sub = op == BinaryOp::kSub || op == BinaryOp::kSubSaturating;
  if (t == NumericType::kFp32) {
    const float a = static_cast<float>(x), b = static_cast<float>(y);
    return Nearest(t, add ? a + b : sub ? a - b : a * b);
  }
  const Real exact = add ? x + y : sub ? x - y : x * y;
  return op <= BinaryOp::kMul && !IsFloat(t) ? Wrapped(t, exact) : Nearest(t, exact);
}

uint32_t Expected(BinaryOp op, NumericType t, uint32_t a, uint32_t b) {
  const Real x = Value(t, a), y = Value(t, b);
  const Real nan = std::isnan(x) ? x : y;
  switch (op) {
    case BinaryOp::kMax:
    case BinaryOp::kMin: {
      if (std::isnan(x) || std::isnan(y)) return Nearest(t, nan);
      const bool x_less = x < y || (x == y && std::signbit(x));
      return x_less == (op == BinaryOp::kMin) ? a : b;
    }
    case BinaryOp::kEqual:
      return x == y ? Ones(t) : 0;
    case BinaryOp::kGreater:
      return x > y ? Ones(t) : 0;
    case BinaryOp::kGreaterEqual:
      return x >= y ? Ones(t) : 0;
    case BinaryOp::kMask:
      return y != 0 ? a : 0;
    case BinaryOp::kAnd:
      return a & b;
    case BinaryOp::kOr:
      return a | b;
    case BinaryOp::kXor:
      return a ^ b;
    default:
      return Arithmetic(op, t, x, y);
  }
}

uint32_t Expected(UnaryOp op, NumericType t, uint32_t a) {
  const Real x = Value(t, a);
  switch (op) {
    case UnaryOp::kNegate:
      return Nearest(t, -x);
    case UnaryOp::kAbs:
      return Nearest(t, std::fabs(x));
    case UnaryOp::kRelu:
      return Nearest(t, std::isnan(x) || x > 0 ? x : 0);
    case UnaryOp::kExp:
      return Nearest(t, std::exp(x));
    case UnaryOp::kTanh:
      return Nearest(t, std::tanh(x));
    case UnaryOp::kRsqrt:
      return Nearest(t, 1 / std::sqrt(x));
  }
  return 0;
}

// Random elements of which every fourth is an end of a range, a zero, an infinity or a NaN, or
// near.
Bits RandomElements(NumericType t, size_t count, Random& random) {
  const uint32_t corners[] = {0,      1,      0x7F,   0x80,       0xFF,       0x7FFF,    0x8000,
                              0x7C00, 0xFC00, 0x7E01, 0x7F800000, 0x80000000, 0x7FC1234, 0xFF800000,
                              0x3C00, 0x7BFF, 0x4B00, 0x4F000000, 0xCF000000, 0x3F000000};
  Bits bits(count);
  for (auto& b : bits) {
    const auto r = static_cast<uint32_t>(random.Next() >> 32);
    const bool corner = r % 4 == 0;
    b = (corner ? corners[random.Below(std::size(corners))] + random.Below(3) - 1 : r) & Ones(t);
  }
  return bits;
}

Bits Apply(BinaryOp op, NumericType t, const Bits& a, const Bits& b) {
  std::vector<uint8_t> x = Pack(a, t), y = Pack(b, t), out(x.size());
  VxmBinary(op, t, x.data(), y.data(), out.data(), static_cast<int>(a.size()));
  return Unpack(out, t);
}

Bits Apply(UnaryOp op, NumericType t, const Bits& a) {
  std::vector<uint8_t> x = Pack(a, t), out(x.size());
  VxmUnary(op, t, x.data(), out.data(), static_cast<int>(a.size()));
  return Unpack(out, t);
}

// Every fp16 or int16, or samples of all fp32 values.
Bits Sweep(NumericType t) {
  Bits all;
  const uint32_t step = Width(t) == 32 ? 6007 : 1;
  for (uint64_t b = 0; b <= Ones(t); b += step) all.push_back(static_cast<uint32_t>(b));
  return all;
}

TEST(VxmTest, BinaryOperationsMatchTheReferenceOnEveryTarget) {
  Random random(10);
  for (NumericType t : kTypes) {
    const Bits a = RandomElements(t, 40003, random), b = RandomElements(t, 40003, random);
    for (int op = 0; op < kBinaryOps; ++op) {
      const auto binary = static_cast<BinaryOp>(op);
      if (!IsSupported(binary, t)) continue;
      Bits expected(a.size());
      for (size_t i = 0; i < a.size(); ++i) expected[i] = Expected(binary, t, a[i], b[i]);
      ForEachTarget([&](const char* target) {
        const Bits got = Apply(binary, t, a, b);
        for (size_t i = 0; i < a.size(); ++i) {
          ASSERT_EQ(got[i], expected[i])
              << target << " op " << op << " type " << static_cast<int>(t) << std::hex << " of "
              << a[i] << ", " << b[i];
        }
      });
    }
  }
}

TEST(VxmTest, Int8OperationsAreRightForAllPairs) {
  Bits a, b;
  for (uint32_t i = 0; i < 65536; ++i) a.push_back(i & 0xFF), b.push_back(i >> 8);
  for (int op = 0; op < kBinaryOps; ++op) {
    const auto binary = static_cast<BinaryOp>(op);
    Bits expected;
    for (size_t i = 0; i < a.size(); ++i) {
      expected.push_back(Expected(binary, NumericType::kInt8, a[i], b[i]));
    }
    EXPECT_EQ(Apply(binary, NumericType::kInt8, a, b), expected) << op;
  }
}

TEST(VxmTest, ExactUnaryOperationsMatchTheReferenceOnEveryTarget) {
  for (NumericType t : kTypes) {
    for (UnaryOp op : {UnaryOp::kNegate, UnaryOp::kAbs, UnaryOp::kRelu}) {
      const Bits a = Sweep(t);
      Bits expected;
      for (uint32_t x : a) expected.push_back(Expected(op, t, x));
      ForEachTarget([&](const char* target) {
        ASSERT_EQ(Apply(op, t, a), expected)
            << target << " op " << static_cast<int>(op) << " type " << static_cast<int>(t);
      });
    }
  }
}

// Signed distance in representable values; 0 also for two equal NaNs.
int64_t UlpsApart(NumericType t, uint32_t a, uint32_t b) {
  const auto place = [t](uint32_t x) {
    const uint32_t sign = uint32_t{1} << (Width(t) - 1);
    return x & sign ? -static_cast<int64_t>(x & ~sign) : static_cast<int64_t>(x);
  };
  return place(a) - place(b);
}

TEST(VxmTest, FunctionsAreWithinOneUlpAndTheSameOnEveryTarget) {
  for (NumericType t : {NumericType::kFp16, NumericType::kFp32}) {
    const Bits a = Sweep(t);
    for (UnaryOp op : {UnaryOp::kExp, UnaryOp::kTanh, UnaryOp::kRsqrt}) {
      const Bits first = Apply(op, t, a);
      size_t inexact = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        const int64_t apart = UlpsApart(t, first[i], Expected(op, t, a[i]));
        ASSERT_LE(std::abs(apart), 1) << "op " << static_cast<int>(op) << " of " << a[i];
        inexact += apart != 0;
      }
      EXPECT_LE(inexact, a.size() / 10000) << "op " << static_cast<int>(op);
      ForEachTarget([&](const char* target) { ASSERT_EQ(Apply(op, t, a), first) << target; });
    }
  }
}

TEST(VxmTest, FunctionsHandleTheEndsOfTheirRange) {
  const NumericType t = NumericType::kFp32;
  const uint32_t inf = 0x7F800000, minus = 0x80000000, nan = 0x7FC00000, one = 0x3F800000;
  const Bits ends = {0, minus, inf, inf | minus, 0xFFC00001, one | minus};
  ForEachTarget([&](const char* target) {
    const uint32_t inverse_e = 0x3EBC5AB2, tanh_of_one = 0x3F42F7D6;
    EXPECT_EQ(Apply(UnaryOp::kExp, t, ends), (Bits{one, one, inf, 0, nan, inverse_e})) << target;
    EXPECT_EQ(Apply(UnaryOp::kTanh, t, ends),
              (Bits{0, minus, one, one | minus, nan, tanh_of_one | minus}))
        << target;
    EXPECT_EQ(Apply(UnaryOp::kRsqrt, t, ends), (Bits{inf, inf | minus, 0, nan, nan, nan}))
        << target;
  });
}

TEST(VxmTest, ConversionsRoundOnceAndSaturateOnEveryTarget) {
  Random random(11);
  for (NumericType from : kTypes) {
    Bits a = RandomElements(from, 100001, random);
    if (Width(from) <= 16) a = Sweep(from);
    const std::vector<uint8_t> in = Pack(a, from);
    for (NumericType to : kTypes) {
      if (from == to) continue;
      Bits expected;
      for (uint32_t x : a) expected.push_back(Nearest(to, Value(from, x)));
      ForEachTarget([&](const char* target) {
        std::vector<uint8_t> out(a.size() * ElementBytes(to));
        VxmConvert(from, to, in.data(), out.data(), static_cast<int>(a.size()));
        const Bits got = Unpack(out, to);
        for (size_t i = 0; i < a.size(); ++i) {
          ASSERT_EQ(got[i], expected[i]) << target << " " << static_cast<int>(from) << " to "
                                         << static_cast<int>(to) << " of " << a[i];
        }
      });
    }
  }
}

TEST(VxmTest, EveryFp32NearAnFp16TieRoundsToEven) {
  Bits a;
  for (uint32_t h = 0; h < 0x7C00; ++h) {  // midway between h and the next, and its neighbours
    const float x = static_cast<float>(Value(NumericType::kFp16, h));
    const float y = h == 0x7BFF ? 65536.0f : static_cast<float>(Value(NumericType::kFp16, h + 1));
    const auto middle = std::bit_cast<uint32_t>((x + y) / 2);
    for (uint32_t bits : {middle - 1, middle, middle + 1}) {
      a.push_back(bits);
      a.push_back(bits | 0x80000000);
    }
  }
  Bits expected;
  for (uint32_t x : a) expected.push_back(RoundToHalf(Value(NumericType::kFp32, x)));
  const std::vector<uint8_t> in = Pack(a, NumericType::kFp32);
  ForEachTarget([&](const char* target) {
    std::vector<uint8_t> out(2 * a.size());
    VxmConvert(NumericType::kFp32, NumericType::kFp16, in.data(), out.data(),
               static_cast<int>(a.size()));
    EXPECT_EQ(Unpack(out, NumericType::kFp16), expected) << target;
  });
}

TEST(VxmTest, AnyNumberOfLanesIsWrittenAndNoMore) {
  const NumericType t = NumericType::kInt16;
  ForEachTarget([&](const char* target) {
    for (int lanes = 0; lanes <= 70; ++lanes) {
      std::vector<int16_t> a(71, 3), out(71, -1), expected(71, -1);
      std::fill_n(expected.begin(), lanes, 9);
      VxmBinary(BinaryOp::kMul, t, a.data(), a.data(), out.data(), lanes);
      ASSERT_EQ(out, expected) << target;
    }
  });
}

TEST(VxmTest, OutputMayBeTheInput) {
  std::vector<float> a(320, 2.0f);
  ForEachTarget([&](const char* target) {
    std::fill(a.begin(), a.end(), 2.0f);
    VxmBinary(BinaryOp::kAdd, NumericType::kFp32, a.data(), a.data(), a.data(), 320);
    VxmUnary(UnaryOp::kNegate, NumericType::kFp32, a.data(), a.data(), 320);
    EXPECT_EQ(a, std::vector<float>(320, -4.0f)) << target;
  });
}

TEST(PlanesTest, InterleavedPlanesComeApartAgainOnEveryTarget) {
  Random random(12);
  std::vector<uint8_t> planes(4 * 320), back(4 * 320), one(320);
  for (auto& b : planes) b = static_cast<uint8_t>(random.Below(256));
  uint8_t *p = planes.data(), *q = back.data();
  ForEachTarget([&](const char* target) {
    uint16_t two[320];
    uint32_t four[320];
    Interleave2(p, p + 320, two);
    Interleave4(p, p + 320, p + 640, p + 960, four);
    for (int i = 0; i < 320; ++i) {
      ASSERT_EQ(two[i], p[i] | p[320 + i] << 8) << target;
      ASSERT_EQ(four[i] >> 16, uint32_t(p[640 + i] | p[960 + i] << 8)) << target;
      ASSERT_EQ(four[i] & 0xFFFF, two[i]) << target;
    }
    Deinterleave4(four, q, q + 320, q + 640, q + 960);
    EXPECT_EQ(back, planes) << target;
    std::fill(back.begin(), back.end(), 0);
    Deinterleave2(two, q, q + 320);
    EXPECT_TRUE(std::equal(q, q + 640, p)) << target;
    for (int plane = 0; plane < 4; ++plane) {
      ExtractPlane(four, 4, plane, one.data());
      EXPECT_TRUE(std::equal(one.begin(), one.end(), p + 320 * plane)) << target;
      if (plane < 2) ExtractPlane(two, 2, plane, one.data());
      EXPECT_TRUE(std::equal(one.begin(), one.end(), p + 320 * plane)) << target;
    }
  });
}

}  // namespace
}  // namespace lockstep
