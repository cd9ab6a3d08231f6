// fp16 dot products of 160 terms, rounded once (the method is proven in chip/numerics.h).
//
// Rows are taken in groups of eight that share one bound on |w|: the high bytes ORed together are
// at least the largest of them (if that looks like inf or NaN, the largest is looked up):
//
//   lo, hi planes -> fp16 -> fp32 -> fp64 --MulAdd--> sums[8], bound --Settle--> fp32
//                                                                  '-- in doubt: ExactDot, one row
//
// MulAdd is allowed here: products are exact in fp64, so fused or not gives the same, and the
// order of the sum cannot show in a result that is proven to be the rounded exact one.

#include "chip/numerics_fp16.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "chip/numerics.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "chip/numerics_fp16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "chip/numerics_inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

using D64 = hn::ScalableTag<double>;
using D8 = hn::CappedTag<uint8_t, 16>;
using V64 = VecOf<D64>;
inline constexpr int kLanes64 = HWY_LANES(double);
inline constexpr int kVectorsOf8 = 8 / kLanes64;  // fp64 vectors that hold eight values

#if HWY_TARGET == HWY_SCALAR

// Sixteen weights of a row from column k on, to fp64; ORs the high bytes (per lane) into `high`.
HWY_INLINE void Widen16(const uint8_t* lo, const uint8_t* hi, int k, V64* w, VecOf<D8>& high) {
  const D8 d8;
  const hn::ScalableTag<float> df;
  const hn::ScalableTag<uint16_t> d16;
  for (int i = 0; i < 16; ++i) {
    const auto bits = static_cast<uint16_t>(lo[k + i] | hi[k + i] << 8);
    w[i] = hn::PromoteTo(D64(), WidenHalf(df, hn::Set(d16, bits)));
    high = hn::Or(high, hn::Set(d8, hi[k + i]));
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

// Sixteen weights of a row from column k on, to fp64; ORs the high bytes per lane into `high`.
HWY_INLINE void Widen16(const uint8_t* lo, const uint8_t* hi, int k, V64* w, VecOf<D8>& high) {
  const D8 d8;
  const D16 d16;
  const auto l = hn::LoadU(d8, lo + k);
  const auto h = hn::LoadU(d8, hi + k);
  high = hn::Or(high, h);
  Widen8(hn::BitCast(d16, hn::InterleaveLower(d8, l, h)), w);
  Widen8(hn::BitCast(d16, hn::InterleaveUpper(d8, l, h)), w + kVectorsOf8);
}

#endif

// Upper bound of |w| in a group; infinity if there is an infinity or NaN.
HWY_INLINE double MagnitudeBound(const fp16::Group& g, VecOf<D8> high) {
  alignas(64) uint8_t bytes[16] = {};
  hn::Store(high, D8(), bytes);
  uint64_t parts[2];
  std::memcpy(parts, bytes, sizeof(parts));
  uint64_t all = parts[0] | parts[1];
  all |= all >> 32;
  all |= all >> 16;
  all |= all >> 8;
  const int most = all & 0x7F;
  return fp16::kMagnitudeBound[most < 0x7C ? most : fp16::LargestHighByte(g)];
}

// out[0], out[1]: the sums over the lanes of s0 and s1, in any order.
HWY_INLINE void StoreSums(V64 s0, V64 s1, double* out) {
  const D64 d;
#if HWY_TARGET == HWY_SCALAR
  hn::StoreU(s0, d, out);
  hn::StoreU(s1, d, out + 1);
#else
  const auto both = hn::Add(hn::InterleaveLower(d, s0, s1), hn::InterleaveUpper(d, s0, s1));
#if HWY_MAX_BYTES == 64
  const auto half = hn::Add(hn::LowerHalf(both), hn::UpperHalf(hn::FixedTag<double, 4>(), both));
#else
  const auto half = both;
#endif
#if HWY_MAX_BYTES >= 32
  const hn::FixedTag<double, 2> d2;
  hn::StoreU(hn::Add(hn::LowerHalf(half), hn::UpperHalf(d2, half)), d2, out);
#else
  hn::StoreU(half, d, out);
#endif
#endif
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

// Sums again exactly the rows of a group that the bound leaves in doubt.
HWY_NOINLINE void Resolve(const fp16::Group& g, const fp16::Activation& a, const double* sums,
                          double error, float* out) {
  for (int i = 0; i < g.count; ++i) {
    if (static_cast<float>(sums[i] - error) != static_cast<float>(sums[i] + error)) {
      out[i] = ExactDot(g.lo[i], g.hi[i], a);
    }
  }
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
  const D64 d64;
  const hn::Rebind<float, D64> df;
  alignas(64) float low[fp16::kGroup];
  bool sure = true;
  for (int i = 0; i < fp16::kGroup; i += kLanes64) {
    const auto s = hn::Load(d64, sums + i);
    const auto l = NarrowDouble(df, hn::Sub(s, hn::Set(d64, error)));
    const auto h = NarrowDouble(df, hn::Add(s, hn::Set(d64, error)));
    hn::Store(l, df, low + i);
    sure &= hn::AllTrue(df, hn::Eq(l, h));
  }
  if (!sure) Resolve(g, a, sums, error, low);
  if (g.count == fp16::kGroup) {
    std::memcpy(out, low, sizeof(low));
  } else {
    std::memcpy(out, low, static_cast<size_t>(g.count) * sizeof(float));
  }
}

// The fp64 sums of a group with one activation; returns the bound of its weights.
HWY_INLINE double DotGroup(const fp16::Group& g, const fp16::Activation& a, double* sums) {
  const D64 d64;
  auto high = hn::Zero(D8());
  for (int r = 0; r < fp16::kGroup; r += 2) {
    V64 sum[2][2] = {{hn::Zero(d64), hn::Zero(d64)}, {hn::Zero(d64), hn::Zero(d64)}};
#if HWY_COMPILER_GCC_ACTUAL
#pragma GCC unroll 2  // unrolled whole, it spills
#endif
    for (int k = 0; k < kFp16Terms; k += 16) {
      V64 w0[2 * kVectorsOf8], w1[2 * kVectorsOf8];
      Widen16(g.lo[r], g.hi[r], k, w0, high);
      Widen16(g.lo[r + 1], g.hi[r + 1], k, w1, high);
      for (int i = 0; i < 2 * kVectorsOf8; ++i) {
        const auto x = hn::Load(d64, a.value + k + i * kLanes64);
        sum[0][i % 2] = hn::MulAdd(w0[i], x, sum[0][i % 2]);
        sum[1][i % 2] = hn::MulAdd(w1[i], x, sum[1][i % 2]);
      }
    }
    StoreSums(hn::Add(sum[0][0], sum[0][1]), hn::Add(sum[1][0], sum[1][1]), sums + r);
  }
  return MagnitudeBound(g, high);
}

// The group from row n on, if it is a whole one.
HWY_INLINE void PrefetchGroup(const Fp16Row* rows, int n, int row_count) {
  if (n + fp16::kGroup > row_count) return;
  for (int i = n; i < n + fp16::kGroup; ++i) {
    PrefetchRow(rows[i].lo, kFp16Terms);
    PrefetchRow(rows[i].hi, kFp16Terms);
  }
}

void MatVec(const Fp16Row* rows, int row_count, const float* activation, float* out) {
  // Groups are settled a few at a time: loading what was just stored in smaller pieces stalls.
  constexpr int kDelay = 4;
  const fp16::Activation a = fp16::MakeActivation(activation);
  const bool finite = a.sum_of_magnitudes < HUGE_VAL;
  fp16::Group groups[kDelay];
  alignas(64) double sums[kDelay][fp16::kGroup];
  double bounds[kDelay];
  for (int n = 0; n < row_count;) {
    if (finite && fp16::AllAbsent(rows + n, HWY_MIN(fp16::kGroup, row_count - n))) {
      const int absent = HWY_MIN(fp16::kGroup, row_count - n);
      std::memset(out + n, 0, static_cast<size_t>(absent) * sizeof(float));
      n += absent;
      continue;
    }
    const int first = n;
    int used = 0;
    for (; used < kDelay && n < row_count; ++used, n += fp16::kGroup) {
      groups[used] = fp16::MakeGroup(rows + n, HWY_MIN(fp16::kGroup, row_count - n));
      PrefetchGroup(rows, n + fp16::kAhead, row_count);
      bounds[used] = DotGroup(groups[used], a, sums[used]);
    }
    for (int i = 0; i < used; ++i) {
      Settle(groups[i], a, sums[i], bounds[i], out + first + i * fp16::kGroup);
    }
  }
}

// Sums of eight widened rows with up to four activations, sums[j][row].
template <int kActivations>
void DotBlock(const double (*w)[kFp16Terms], const fp16::Activation* a,
              double (*sums)[fp16::kGroup]) {
  constexpr int kRows = HWY_MAX_BYTES == 64 ? 4 : 2;  // that fit in the registers
  const D64 d64;
  for (int r = 0; r < fp16::kGroup; r += kRows) {
    V64 s[kActivations][kRows];
    for (auto& row : s) {
      for (auto& sum : row) sum = hn::Zero(d64);
    }
    for (int k = 0; k < kFp16Terms; k += kLanes64) {
      V64 x[kRows];
      for (int i = 0; i < kRows; ++i) x[i] = hn::Load(d64, w[r + i] + k);
      for (int j = 0; j < kActivations; ++j) {
        const auto y = hn::Load(d64, a[j].value + k);
        for (int i = 0; i < kRows; ++i) s[j][i] = hn::MulAdd(x[i], y, s[j][i]);
      }
    }
    for (int j = 0; j < kActivations; ++j) {
      for (int i = 0; i < kRows; i += 2) StoreSums(s[j][i], s[j][i + 1], sums[j] + r + i);
    }
  }
}

// REQUIRES: batch <= kMaxActivations.
void MatMul(const Fp16Row* rows, int row_count, const float* const* activations, int batch,
            float* const* outs) {
  fp16::Activation a[fp16::kMaxActivations];
  bool finite = true;
  for (int b = 0; b < batch; ++b) {
    a[b] = fp16::MakeActivation(activations[b]);
    finite &= a[b].sum_of_magnitudes < HUGE_VAL;
  }
  const D64 d64;
  alignas(64) double wide[fp16::kGroup][kFp16Terms];
  alignas(64) double sums[4][fp16::kGroup];
  for (int n = 0; n < row_count; n += fp16::kGroup) {
    const int present = HWY_MIN(fp16::kGroup, row_count - n);
    if (finite && fp16::AllAbsent(rows + n, present)) {
      const size_t bytes = static_cast<size_t>(present) * sizeof(float);
      for (int b = 0; b < batch; ++b) std::memset(outs[b] + n, 0, bytes);
      continue;
    }
    const fp16::Group g = fp16::MakeGroup(rows + n, present);
    PrefetchGroup(rows, n + fp16::kAhead, row_count);
    auto high = hn::Zero(D8());
    for (int r = 0; r < fp16::kGroup; ++r) {
      for (int k = 0; k < kFp16Terms; k += 16) {
        V64 w[2 * kVectorsOf8];
        Widen16(g.lo[r], g.hi[r], k, w, high);
        for (int i = 0; i < 2 * kVectorsOf8; ++i) hn::Store(w[i], d64, wide[r] + k + i * kLanes64);
      }
    }
    const double bound = MagnitudeBound(g, high);
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
