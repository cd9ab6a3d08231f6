// What the numerics sources share inside each SIMD target: fp16 widened and narrowed, NaN made
// canonical, loops over lanes with a tail. Compiled once per target: include it after
// hwy/foreach_target.h, from chip/numerics_*.cc only. (No #pragma once: the guard below toggles.)
//
// Nothing here may use MulAdd or an approximate instruction: their bits differ between targets.
#if defined(LOCKSTEP_CHIP_NUMERICS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_CHIP_NUMERICS_INL_H_
#undef LOCKSTEP_CHIP_NUMERICS_INL_H_
#else
#define LOCKSTEP_CHIP_NUMERICS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
using VecOf = hn::Vec<D>;

// Targets whose fp16 conversion is one IEEE instruction; the rest use integer operations.
inline constexpr bool kHardwareHalf =
    HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL;

// Asks the host for a row that is multiplied soon; null: none. Weights come from its memory, from as
// many places at once as a chip has streams, more than it foresees by itself.
HWY_INLINE void PrefetchRow(const uint8_t* row, int bytes) {
  if (row == nullptr) return;
  for (int k = 0; k < bytes; k += 64) __builtin_prefetch(row + k);
}

// fp16 bits to fp32, exact; a NaN stays some NaN.
template <class DF>
HWY_INLINE VecOf<DF> WidenHalf(DF df, VecOf<hn::Rebind<uint16_t, DF>> h) {
  if constexpr (kHardwareHalf) {
    return hn::PromoteTo(df, hn::BitCast(hn::Rebind<hwy::float16_t, DF>(), h));
  } else {
    const hn::RebindToUnsigned<DF> du;
    const auto u = hn::PromoteTo(du, h);
    const auto sign = hn::ShiftLeft<16>(hn::And(u, hn::Set(du, 0x8000u)));
    const auto magnitude = hn::ShiftLeft<13>(hn::And(u, hn::Set(du, 0x7FFFu)));
    // Exponent bias 15 to 127, by a multiplication that also makes subnormals normal.
    const auto scaled = hn::Mul(hn::BitCast(df, magnitude), hn::Set(df, 0x1p112f));
    const auto limit = hn::BitCast(df, hn::Set(du, 0x47800000u));  // 65536: was inf or NaN
    const auto special =
        hn::IfThenElseZero(hn::Ge(scaled, limit), hn::BitCast(df, hn::Set(du, 0x7F800000u)));
    return hn::Or(hn::Or(scaled, special), hn::BitCast(df, sign));
  }
}

template <class DF>
HWY_INLINE VecOf<DF> CanonicalNan(DF df, VecOf<DF> v) {
  const auto nan = hn::BitCast(df, hn::Set(hn::RebindToUnsigned<DF>(), 0x7FC00000u));
  return hn::IfThenElse(hn::IsNaN(v), nan, v);
}

// fp64 to fp32, rounded to nearest even. Highway's portable targets clamp an overflow to the
// largest finite value; IEEE and we say inf.
template <class DF>
HWY_INLINE VecOf<DF> NarrowDouble(DF df, VecOf<hn::Rebind<double, DF>> v) {
  if constexpr (HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128) {
    alignas(64) double wide[HWY_LANES(double)];
    alignas(64) float narrow[HWY_LANES(float)] = {};
    hn::Store(v, hn::Rebind<double, DF>(), wide);
    for (size_t i = 0; i < HWY_LANES(double); ++i) narrow[i] = static_cast<float>(wide[i]);
    return hn::Load(df, narrow);
  } else {
    return hn::DemoteTo(df, v);
  }
}

// fp32 to fp16 bits, rounded to nearest even; NaN becomes 0x7E00.
template <class DF>
HWY_INLINE VecOf<hn::Rebind<uint16_t, DF>> NarrowHalf(DF df, VecOf<DF> value) {
  const hn::Rebind<uint16_t, DF> dh;
  const auto v = CanonicalNan(df, value);
  if constexpr (kHardwareHalf) {
    return hn::BitCast(dh, hn::DemoteTo(hn::Rebind<hwy::float16_t, DF>(), v));
  } else {
    const hn::RebindToSigned<DF> di;
    const auto bits = hn::BitCast(di, v);
    const auto sign = hn::And(bits, hn::Set(di, INT32_MIN));
    const auto x = hn::Xor(bits, sign);
    // Subnormal results: adding 0.5 lets the fp32 unit round to multiples of 2^-24.
    const auto half = hn::Set(df, 0.5f);
    const auto small =
        hn::Sub(hn::BitCast(di, hn::Add(hn::BitCast(df, x), half)), hn::BitCast(di, half));
    // Normal results: bias 127 to 15, round half to even; a carry into the exponent is right.
    const auto odd = hn::And(hn::ShiftRight<13>(x), hn::Set(di, 1));
    const auto bias = hn::Set(di, 0xFFF - (112 << 23));
    const auto normal = hn::ShiftRight<13>(hn::Add(hn::Add(x, bias), odd));
    auto h = hn::IfThenElse(hn::Lt(x, hn::Set(di, 113 << 23)), small, normal);
    h = hn::IfThenElse(hn::Gt(x, hn::Set(di, 0x477FFFFF)), hn::Set(di, 0x7C00), h);
    h = hn::IfThenElse(hn::Gt(x, hn::Set(di, 0x7F800000)), hn::Set(di, 0x7E00), h);
    return hn::DemoteTo(dh, hn::Or(h, hn::And(hn::ShiftRight<16>(sign), hn::Set(di, 0x8000))));
  }
}

// out[i] = f(a[i]) for vectors of D (inputs of type TA, outputs TO, same number of lanes).
template <class DA, class DO, class F>
HWY_INLINE void MapUnary(DA da, DO dout, const void* a_bytes, void* out_bytes, int lanes, F f) {
  using TA = hn::TFromD<DA>;
  using TO = hn::TFromD<DO>;
  const auto* a = static_cast<const TA*>(a_bytes);
  auto* out = static_cast<TO*>(out_bytes);
  const int step = static_cast<int>(hn::Lanes(da));
  int i = 0;
  for (; i + step <= lanes; i += step) hn::StoreU(f(hn::LoadU(da, a + i)), dout, out + i);
  if (i >= lanes) return;
  alignas(64) TA in[HWY_MAX_BYTES / sizeof(TA)] = {};
  alignas(64) TO result[HWY_MAX_BYTES / sizeof(TO)];
  std::memcpy(in, a + i, static_cast<size_t>(lanes - i) * sizeof(TA));
  hn::StoreU(f(hn::LoadU(da, in)), dout, result);
  std::memcpy(out + i, result, static_cast<size_t>(lanes - i) * sizeof(TO));
}

// out[i] = f(a[i], b[i]), all of D's type.
template <class D, class F>
HWY_INLINE void MapBinary(D d, const void* a_bytes, const void* b_bytes, void* out_bytes, int lanes,
                          F f) {
  using T = hn::TFromD<D>;
  const auto* a = static_cast<const T*>(a_bytes);
  const auto* b = static_cast<const T*>(b_bytes);
  auto* out = static_cast<T*>(out_bytes);
  const int step = static_cast<int>(hn::Lanes(d));
  int i = 0;
  for (; i + step <= lanes; i += step) {
    hn::StoreU(f(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  }
  if (i >= lanes) return;
  const auto bytes = static_cast<size_t>(lanes - i) * sizeof(T);
  alignas(64) T x[HWY_MAX_BYTES / sizeof(T)] = {};
  alignas(64) T y[HWY_MAX_BYTES / sizeof(T)] = {};
  std::memcpy(x, a + i, bytes);
  std::memcpy(y, b + i, bytes);
  hn::StoreU(f(hn::LoadU(d, x), hn::LoadU(d, y)), d, x);
  std::memcpy(out + i, x, bytes);
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
