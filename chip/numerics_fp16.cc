// fp16 dot products of 160 terms, rounded once (the method is proven in chip/numerics.h).
//
// Rows are taken in groups of eight that share one bound on |w|, the largest high byte seen:
//
//   lo, hi planes -> fp16 -> fp32 -> fp64 --MulAdd--> sums[8], bound --Settle--> fp32
//                                                                  '-- in doubt: ExactDot, one row
//
// MulAdd is allowed here: products are exact in fp64, so fused or not gives the same, and the
// order of the sum cannot show in a result that is proven to be the rounded exact one.

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "chip/numerics.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "chip/numerics_fp16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "chip/numerics_inl.h"

#ifndef LOCKSTEP_CHIP_NUMERICS_FP16_ONCE_
#define LOCKSTEP_CHIP_NUMERICS_FP16_ONCE_
namespace lockstep::fp16 {

inline constexpr int kGroup = 8;          // rows that share one bound
inline constexpr int kMaxActivations = 16;  // for which rows are widened once

alignas(64) inline constexpr uint8_t kZeros[kFp16Terms] = {};

// An activation as the kernels want it.
struct Activation {
  alignas(64) double value[kFp16Terms];
  const float* source;
  double sum_of_magnitudes;  // inf or NaN if any value is
};

struct Group {
  const uint8_t* lo[kGroup];
  const uint8_t* hi[kGroup];
  int count;
};

// Largest fp16 magnitude whose high byte (without sign) is the index; from 0x7C on inf or NaN.
inline constexpr auto kMagnitudeBound = [] {
  std::array<double, 128> bound{};
  for (int high = 0; high < 128; ++high) {
    const int exponent = high >> 2, mantissa = (high & 3) << 8 | 0xFF;
    double v = exponent == 0 ? mantissa : 1024 + mantissa;
    for (int i = 1; i < exponent; ++i) v *= 2;
    bound[high] = high < 0x7C ? v * 0x1p-24 : std::numeric_limits<double>::infinity();
  }
  return bound;
}();

inline float CanonicalNan() { return std::bit_cast<float>(0x7FC00000u); }

// high + low, exact and |low| <= ulp(high) / 2, rounded once to fp32.
inline float RoundOnce(double high, double low) {
  auto bits = std::bit_cast<uint64_t>(high);
  if (low != 0 && (bits & 1) == 0) {  // round to odd: the next rounding then sees `low` as sticky
    bits += (low > 0) == (high > 0) ? 1 : uint64_t(-1);
  }
  return static_cast<float>(std::bit_cast<double>(bits));
}

inline Activation MakeActivation(const float* source) {
  Activation a;
  a.source = source;
  a.sum_of_magnitudes = 0;
  for (int k = 0; k < kFp16Terms; ++k) {
    a.value[k] = source[k];
    a.sum_of_magnitudes += std::abs(a.value[k]);
  }
  return a;
}

inline Group MakeGroup(const Fp16Row* rows, int count) {
  Group g;
  g.count = count;
  for (int i = 0; i < kGroup; ++i) {
    const bool zero = i >= count || rows[i].lo == nullptr;
    g.lo[i] = zero ? kZeros : rows[i].lo;
    g.hi[i] = zero ? kZeros : rows[i].hi;
  }
  return g;
}

}  // namespace lockstep::fp16
#endif

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

using D64 = hn::ScalableTag<double>;
using D8 = hn::CappedTag<uint8_t, 16>;
using V64 = VecOf<D64>;
inline constexpr int kLanes64 = HWY_LANES(double);
inline constexpr int kVectorsOf8 = 8 / kLanes64;  // fp64 vectors that hold eight values

#if HWY_TARGET == HWY_SCALAR

// Sixteen weights of a row from column k on, to fp64; keeps the largest high byte (per lane).
HWY_INLINE void Widen16(const uint8_t* lo, const uint8_t* hi, int k, V64* w, VecOf<D8>& high_max) {
  const D8 d8;
  const hn::ScalableTag<float> df;
  const hn::ScalableTag<uint16_t> d16;
  for (int i = 0; i < 16; ++i) {
    const auto bits = static_cast<uint16_t>(lo[k + i] | hi[k + i] << 8);
    w[i] = hn::PromoteTo(D64(), WidenHalf(df, hn::Set(d16, bits)));
    high_max = hn::Max(high_max, hn::Set(d8, hi[k + i] & 0x7F));
  }
}

#else

using D16 = hn::FixedTag<uint16_t, 8>;

// Eight fp16 values to fp64, in order.
HWY_INLINE void Widen8(VecOf<D16> h, V64* w) {
  const D64 d64;
#if HWY_MAX_BYTES == 64
  w[0] = hn::PromoteTo(d64, WidenHalf(hn::FixedTag<float, 8>(), h));
#elif HWY_MAX_BYTES == 32
  const auto f = WidenHalf(hn::FixedTag<float, 8>(), h);
  w[0] = hn::PromoteTo(d64, hn::LowerHalf(f));
  w[1] = hn::PromoteTo(d64, hn::UpperHalf(hn::FixedTag<float, 4>(), f));
#else
  const hn::FixedTag<float, 4> df;
  const hn::FixedTag<float, 2> df2;
  const auto f0 = WidenHalf(df, hn::LowerHalf(h));
  const auto f1 = WidenHalf(df, hn::UpperHalf(hn::FixedTag<uint16_t, 4>(), h));
  w[0] = hn::PromoteTo(d64, hn::LowerHalf(f0));
  w[1] = hn::PromoteTo(d64, hn::UpperHalf(df2, f0));
  w[2] = hn::PromoteTo(d64, hn::LowerHalf(f1));
  w[3] = hn::PromoteTo(d64, hn::UpperHalf(df2, f1));
#endif
}

// Sixteen weights of a row from column k on, to fp64; keeps the largest high byte per lane.
HWY_INLINE void Widen16(const uint8_t* lo, const uint8_t* hi, int k, V64* w, VecOf<D8>& high_max) {
  const D8 d8;
  const D16 d16;
  const auto l = hn::LoadU(d8, lo + k);
  const auto h = hn::LoadU(d8, hi + k);
  high_max = hn::Max(high_max, hn::And(h, hn::Set(d8, 0x7F)));
  Widen8(hn::BitCast(d16, hn::InterleaveLower(d8, l, h)), w);
  Widen8(hn::BitCast(d16, hn::InterleaveUpper(d8, l, h)), w + kVectorsOf8);
}

#endif

HWY_INLINE double MagnitudeBound(VecOf<D8> high_max) {
  alignas(64) uint8_t bytes[16] = {};
  hn::Store(high_max, D8(), bytes);
  uint8_t most = 0;
  for (uint8_t b : bytes) most = b > most ? b : most;
  return fp16::kMagnitudeBound[most];
}

// The exact dot product of finite factors. Each product is split on the grid 2^-11 by adding it to
// an accumulator of [2^41, 2^42); what falls below the grid is summed apart. Both sums are exact:
// |coarse| < 2^40 in steps of 2^-11, |fine| < 160 * 2^-12 in steps of 2^-48.
float ExactDot(const uint8_t* lo, const uint8_t* hi, const fp16::Activation& a) {
  constexpr double kStart = 1.5 * 0x1p41;
  const D64 d64;
  auto coarse = hn::Set(d64, kStart);
  auto fine = hn::Zero(d64);
  auto unused = hn::Zero(D8());
  for (int k = 0; k < kFp16Terms; k += 16) {
    V64 w[2 * kVectorsOf8];
    Widen16(lo, hi, k, w, unused);
    for (int i = 0; i < 2 * kVectorsOf8; ++i) {
      const auto p = hn::Mul(w[i], hn::Load(d64, a.value + k + i * kLanes64));
      const auto next = hn::Add(coarse, p);
      fine = hn::Add(fine, hn::Sub(p, hn::Sub(next, coarse)));
      coarse = next;
    }
  }
  alignas(64) double parts[2 * kLanes64];
  hn::Store(hn::Sub(coarse, hn::Set(d64, kStart)), d64, parts);
  hn::Store(fine, d64, parts + kLanes64);
  double c = 0, f = 0;
  for (int i = 0; i < kLanes64; ++i) c += parts[i], f += parts[kLanes64 + i];
  // Fast2Sum: exact if |c| >= |f|; otherwise |c| < 2^-4, so c + f itself is exact.
  const double high = c + f;
  return fp16::RoundOnce(high, f - (high - c));
}

// A row in a group where some factor is infinite or NaN.
float SpecialDot(const uint8_t* lo, const uint8_t* hi, const fp16::Activation& a) {
  const hn::CappedTag<float, 4> df;
  const hn::CappedTag<uint16_t, 4> d16;
  bool plus = false, minus = false, nan = false;
  for (int k = 0; k < kFp16Terms; ++k) {
    const auto h = static_cast<uint16_t>(lo[k] | hi[k] << 8);
    const float w = hn::GetLane(WidenHalf(df, hn::Set(d16, h)));
    const float p = w * a.source[k];
    nan |= std::isnan(p);
    plus |= std::isinf(p) && p > 0;
    minus |= std::isinf(p) && p < 0;
  }
  if (nan || (plus && minus)) return fp16::CanonicalNan();
  if (plus || minus) return (plus ? 1 : -1) * std::numeric_limits<float>::infinity();
  return ExactDot(lo, hi, a);
}

// From fp64 sums and the bound on their error to the results of a group.
HWY_INLINE void Settle(const fp16::Group& g, const fp16::Activation& a, const double* sums,
                       double magnitude_bound, float* out) {
  const double size = a.sum_of_magnitudes * magnitude_bound;
  if (!(a.sum_of_magnitudes < HUGE_VAL && magnitude_bound < HUGE_VAL)) {
    for (int i = 0; i < g.count; ++i) out[i] = SpecialDot(g.lo[i], g.hi[i], a);
    return;
  }
  const double error = size < 31 ? 0 : size * 0x1p-45;
  alignas(64) float low[fp16::kGroup], high[fp16::kGroup];
  const D64 d64;
  const hn::Rebind<float, D64> df;
  for (int i = 0; i < fp16::kGroup; i += kLanes64) {
    const auto s = hn::Load(d64, sums + i);
    hn::Store(hn::DemoteTo(df, hn::Sub(s, hn::Set(d64, error))), df, low + i);
    hn::Store(hn::DemoteTo(df, hn::Add(s, hn::Set(d64, error))), df, high + i);
  }
  for (int i = 0; i < g.count; ++i) {
    out[i] = low[i] == high[i] ? low[i] : ExactDot(g.lo[i], g.hi[i], a);
  }
}

void MatVec(const Fp16Row* rows, int row_count, const float* activation, float* out) {
  const fp16::Activation a = fp16::MakeActivation(activation);
  const D64 d64;
  for (int n = 0; n < row_count; n += fp16::kGroup) {
    const fp16::Group g = fp16::MakeGroup(rows + n, HWY_MIN(fp16::kGroup, row_count - n));
    auto high_max = hn::Zero(D8());
    alignas(64) double sums[fp16::kGroup];
    for (int r = 0; r < fp16::kGroup; r += 2) {
      auto sum0 = hn::Zero(d64), sum1 = hn::Zero(d64);
      for (int k = 0; k < kFp16Terms; k += 16) {
        V64 w0[2 * kVectorsOf8], w1[2 * kVectorsOf8];
        Widen16(g.lo[r], g.hi[r], k, w0, high_max);
        Widen16(g.lo[r + 1], g.hi[r + 1], k, w1, high_max);
        for (int i = 0; i < 2 * kVectorsOf8; ++i) {
          const auto x = hn::Load(d64, a.value + k + i * kLanes64);
          sum0 = hn::MulAdd(w0[i], x, sum0);
          sum1 = hn::MulAdd(w1[i], x, sum1);
        }
      }
      sums[r] = hn::GetLane(hn::SumOfLanes(d64, sum0));
      sums[r + 1] = hn::GetLane(hn::SumOfLanes(d64, sum1));
    }
    Settle(g, a, sums, MagnitudeBound(high_max), out + n);
  }
}

// Sums of eight widened rows with up to four activations, sums[j][row].
template <int kActivations>
void DotBlock(const double (*w)[kFp16Terms], const fp16::Activation* a,
              double (*sums)[fp16::kGroup]) {
  const D64 d64;
  for (int r = 0; r < fp16::kGroup; r += 2) {
    V64 s0[kActivations], s1[kActivations];
    for (int j = 0; j < kActivations; ++j) s0[j] = s1[j] = hn::Zero(d64);
    for (int k = 0; k < kFp16Terms; k += kLanes64) {
      const auto w0 = hn::Load(d64, w[r] + k), w1 = hn::Load(d64, w[r + 1] + k);
      for (int j = 0; j < kActivations; ++j) {
        const auto x = hn::Load(d64, a[j].value + k);
        s0[j] = hn::MulAdd(w0, x, s0[j]);
        s1[j] = hn::MulAdd(w1, x, s1[j]);
      }
    }
    for (int j = 0; j < kActivations; ++j) {
      sums[j][r] = hn::GetLane(hn::SumOfLanes(d64, s0[j]));
      sums[j][r + 1] = hn::GetLane(hn::SumOfLanes(d64, s1[j]));
    }
  }
}

// REQUIRES: batch <= kMaxActivations.
void MatMul(const Fp16Row* rows, int row_count, const float* const* activations, int batch,
            float* const* outs) {
  fp16::Activation a[fp16::kMaxActivations];
  for (int b = 0; b < batch; ++b) a[b] = fp16::MakeActivation(activations[b]);
  const D64 d64;
  alignas(64) double wide[fp16::kGroup][kFp16Terms];
  alignas(64) double sums[4][fp16::kGroup];
  for (int n = 0; n < row_count; n += fp16::kGroup) {
    const fp16::Group g = fp16::MakeGroup(rows + n, HWY_MIN(fp16::kGroup, row_count - n));
    auto high_max = hn::Zero(D8());
    for (int r = 0; r < fp16::kGroup; ++r) {
      for (int k = 0; k < kFp16Terms; k += 16) {
        V64 w[2 * kVectorsOf8];
        Widen16(g.lo[r], g.hi[r], k, w, high_max);
        for (int i = 0; i < 2 * kVectorsOf8; ++i) hn::Store(w[i], d64, wide[r] + k + i * kLanes64);
      }
    }
    const double bound = MagnitudeBound(high_max);
    for (int b = 0; b < batch;) {
      const int block = batch - b >= 4 ? 4 : batch - b >= 2 ? 2 : 1;
      if (block == 4) DotBlock<4>(wide, a + b, sums);
      if (block == 2) DotBlock<2>(wide, a + b, sums);
      if (block == 1) DotBlock<1>(wide, a + b, sums);
      for (int j = 0; j < block; ++j) Settle(g, a[b + j], sums[j], bound, outs[b + j] + n);
      b += block;
    }
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(MatVec);
HWY_EXPORT(MatMul);

void Fp16MatVec(const Fp16Row rows[], int row_count, const float activation[kFp16Terms],
                float out[]) {
  HWY_DYNAMIC_DISPATCH(MatVec)(rows, row_count, activation, out);
}

void Fp16MatMul(const Fp16Row rows[], int row_count, const float* const activations[], int batch,
                float* const outs[]) {
  if (batch == 1) return Fp16MatVec(rows, row_count, activations[0], outs[0]);
  for (int b = 0; b < batch; b += fp16::kMaxActivations) {
    const int count = batch - b < fp16::kMaxActivations ? batch - b : fp16::kMaxActivations;
    HWY_DYNAMIC_DISPATCH(MatMul)(rows, row_count, activations + b, count, outs + b);
  }
}

}  // namespace lockstep
#endif  // HWY_ONCE
