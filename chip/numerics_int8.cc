// int8 dot products of 320 terms, exact in int32 (|sum| <= 320 * 2^14 < 2^23), and the
// accumulators of the MXM. Bytes widen to int16; pairs of products add up in int32 lanes.

#include "chip/numerics.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "chip/numerics_int8.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "chip/numerics_inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

using D16 = hn::ScalableTag<int16_t>;
using D32 = hn::ScalableTag<int32_t>;
using D8 = hn::Rebind<int8_t, D16>;
inline constexpr int kLanes16 = HWY_LANES(int16_t);
static_assert(kInt8Terms % kLanes16 == 0);

template <int kRows>
HWY_INLINE void DotRows(const int8_t* const* rows, const int16_t* activation, int32_t* out) {
  const D32 d32;
  VecOf<D32> sum0[kRows], sum1[kRows];
  for (int r = 0; r < kRows; ++r) sum0[r] = sum1[r] = hn::Zero(d32);
  for (int k = 0; k < kInt8Terms; k += kLanes16) {
    const auto x = hn::Load(D16(), activation + k);
    for (int r = 0; r < kRows; ++r) {
      const auto w = hn::PromoteTo(D16(), hn::LoadU(D8(), rows[r] + k));
      sum0[r] = hn::ReorderWidenMulAccumulate(d32, w, x, sum0[r], sum1[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    out[r] = hn::GetLane(hn::SumOfLanes(d32, hn::Add(sum0[r], sum1[r])));
  }
}

void MatVecInt8(const uint8_t* const* rows, int row_count, const uint8_t* activation,
                int32_t* out) {
  static constexpr int8_t kZeros[kInt8Terms] = {};
  alignas(64) int16_t wide[kInt8Terms];
  for (int k = 0; k < kInt8Terms; ++k) wide[k] = static_cast<int8_t>(activation[k]);
  constexpr int kAhead = 8;  // rows that are fetched ahead of those multiplied
  for (int n = 0; n < row_count; n += 4) {
    const int8_t* group[4];
    for (int r = 0; r < 4; ++r) {
      if (n + r + kAhead < row_count) PrefetchRow(rows[n + r + kAhead], kInt8Terms);
      const uint8_t* row = n + r < row_count ? rows[n + r] : nullptr;
      group[r] = row == nullptr ? kZeros : reinterpret_cast<const int8_t*>(row);
    }
    int32_t sums[4];
    DotRows<4>(group, wide, sums);
    for (int r = 0; r < 4 && n + r < row_count; ++r) out[n + r] = sums[r];
  }
}

void AccumulateF32(float* acc, const float* x, int count) {
  const hn::ScalableTag<float> d;
  MapBinary(d, acc, x, acc, count, [d](auto a, auto b) { return CanonicalNan(d, hn::Add(a, b)); });
}

void AccumulateI32(int32_t* acc, const int32_t* x, int count) {
  MapBinary(D32(), acc, x, acc, count, [](auto a, auto b) { return hn::Add(a, b); });
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(MatVecInt8);
HWY_EXPORT(AccumulateF32);
HWY_EXPORT(AccumulateI32);

void Int8MatVec(const uint8_t* const rows[], int row_count, const uint8_t activation[kInt8Terms],
                int32_t out[]) {
  HWY_DYNAMIC_DISPATCH(MatVecInt8)(rows, row_count, activation, out);
}
void AddF32(float* acc, const float* x, int count) {
  HWY_DYNAMIC_DISPATCH(AccumulateF32)(acc, x, count);
}
void AddI32(int32_t* acc, const int32_t* x, int count) {
  HWY_DYNAMIC_DISPATCH(AccumulateI32)(acc, x, count);
}

}  // namespace lockstep
#endif  // HWY_ONCE
