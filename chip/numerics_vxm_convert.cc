// Conversions between the chip's number types. Every value passes through a wide lane, int32 for
// integers and fp32 for floats, which holds it exactly; only the step out of it rounds.
// int32 to fp16 may go through fp32: what that rounds (from 2^24 on) is inf in fp16 anyway.

#include <cstdint>
#include <cstring>

#include "chip/numerics.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "chip/numerics_vxm_convert.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "chip/numerics_inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

using DF = hn::ScalableTag<float>;
using DI = hn::ScalableTag<int32_t>;
using VF = VecOf<DF>;
using VI = VecOf<DI>;

// To nearest even; beyond the range to its ends; NaN to 0.
HWY_INLINE VI RoundToInt(VF v) {
  const DF d;
  const DI di;
  // Adding and subtracting 2^23 rounds what is smaller; what is not has no fraction.
  const auto magic = hn::CopySignToAbs(hn::Set(d, 0x1p23f), v);
  const auto small = hn::Lt(hn::Abs(v), hn::Set(d, 0x1p23f));
  auto r = hn::IfThenElse(small, hn::Sub(hn::Add(v, magic), magic), v);
  r = hn::IfThenElseZero(hn::Eq(v, v), r);
  const auto above = hn::Ge(r, hn::Set(d, 0x1p31f));
  const auto below = hn::Lt(r, hn::Set(d, -0x1p31f));
  const auto in_range = hn::IfThenElse(hn::Or(above, below), hn::Zero(d), r);
  auto i = hn::ConvertTo(di, in_range);
  i = hn::IfThenElse(hn::RebindMask(di, above), hn::Set(di, INT32_MAX), i);
  return hn::IfThenElse(hn::RebindMask(di, below), hn::Set(di, INT32_MIN), i);
}

// One type of element in memory: D loads and stores it, Widen and Narrow go to and from a lane.
template <class T>
struct Integer {
  using D = hn::Rebind<T, DI>;
  static constexpr bool kFloat = false;
  static HWY_INLINE VI Widen(VecOf<D> v) {
    if constexpr (sizeof(T) == 4) return v;
    if constexpr (sizeof(T) < 4) return hn::PromoteTo(DI(), v);
  }
  static HWY_INLINE VecOf<D> Narrow(VI v) {
    if constexpr (sizeof(T) == 4) return v;
    if constexpr (sizeof(T) < 4) return hn::DemoteTo(D(), v);  // saturates
  }
};

struct Fp16 {
  using D = hn::Rebind<uint16_t, DF>;
  static constexpr bool kFloat = true;
  static HWY_INLINE VF Widen(VecOf<D> v) { return CanonicalNan(DF(), WidenHalf(DF(), v)); }
  static HWY_INLINE VecOf<D> Narrow(VF v) { return NarrowHalf(DF(), v); }
};

struct Fp32 {
  using D = DF;
  static constexpr bool kFloat = true;
  static HWY_INLINE VF Widen(VF v) { return v; }
  static HWY_INLINE VF Narrow(VF v) { return v; }
};

template <class From, class To>
void Elements(const void* a, void* out, int lanes) {
  using DA = typename From::D;
  using DO = typename To::D;
  MapUnary(DA(), DO(), a, out, lanes, [](auto x) HWY_ATTR {
    const auto wide = From::Widen(x);
    if constexpr (From::kFloat == To::kFloat) {
      return To::Narrow(wide);
    } else if constexpr (To::kFloat) {
      return To::Narrow(hn::ConvertTo(DF(), wide));
    } else {
      return To::Narrow(RoundToInt(wide));
    }
  });
}

template <class From>
void ConvertFrom(NumericType to, const void* a, void* out, int lanes) {
  switch (to) {
    case NumericType::kInt8: return Elements<From, Integer<int8_t>>(a, out, lanes);
    case NumericType::kInt16: return Elements<From, Integer<int16_t>>(a, out, lanes);
    case NumericType::kInt32: return Elements<From, Integer<int32_t>>(a, out, lanes);
    case NumericType::kFp16: return Elements<From, Fp16>(a, out, lanes);
    case NumericType::kFp32: return Elements<From, Fp32>(a, out, lanes);
  }
}

void Convert(NumericType from, NumericType to, const void* a, void* out, int lanes) {
  switch (from) {
    case NumericType::kInt8: return ConvertFrom<Integer<int8_t>>(to, a, out, lanes);
    case NumericType::kInt16: return ConvertFrom<Integer<int16_t>>(to, a, out, lanes);
    case NumericType::kInt32: return ConvertFrom<Integer<int32_t>>(to, a, out, lanes);
    case NumericType::kFp16: return ConvertFrom<Fp16>(to, a, out, lanes);
    case NumericType::kFp32: return ConvertFrom<Fp32>(to, a, out, lanes);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(Convert);

void VxmConvert(NumericType from, NumericType to, const void* a, void* out, int lanes) {
  if (from == to) {
    std::memmove(out, a, static_cast<size_t>(lanes) * ElementBytes(from));
    return;
  }
  HWY_DYNAMIC_DISPATCH(Convert)(from, to, a, out, lanes);
}

}  // namespace lockstep
#endif  // HWY_ONCE
