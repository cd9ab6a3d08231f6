// The VXM's operations on one operand (contract: chip/numeric_types.h).
//
// exp, tanh and rsqrt are evaluated in fp64 to about 2^-45 and rounded to fp32 once (then to fp16),
// with IEEE additions, multiplications, divisions and roots only, so that every target gives the
// same bits. exp(x) = 2^n * e^r with n = round(x / ln 2), |r| <= ln 2 / 2, and e^r by its Taylor
// polynomial of degree 12 (the rest is below 2^-52).

#include <cstdint>

#include "chip/check.h"
#include "chip/numerics.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "chip/numerics_vxm_unary.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "chip/numerics_inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

using D64 = hn::ScalableTag<double>;
using V64 = VecOf<D64>;
using DF = hn::ScalableTag<float>;
using VF = VecOf<DF>;

// ---- integers ----

template <class D, class V>
HWY_INLINE V NegateSaturating(D d, V x) {
  const auto lowest = hn::Set(d, hwy::LimitsMin<hn::TFromD<D>>());
  const auto negative = hn::Sub(hn::Zero(d), x);  // of the lowest value: itself, then + ~0 below
  return hn::Add(negative, hn::VecFromMask(d, hn::Eq(x, lowest)));
}

template <class T>
void Integers(UnaryOp op, const void* a, void* out, int lanes) {
  const hn::ScalableTag<T> d;
  const auto map = [&](auto f) HWY_ATTR { MapUnary(d, d, a, out, lanes, f); };
  switch (op) {
    case UnaryOp::kNegate:
      return map([d](auto x) HWY_ATTR { return NegateSaturating(d, x); });
    case UnaryOp::kAbs:
      return map([d](auto x) HWY_ATTR { return hn::Max(x, NegateSaturating(d, x)); });
    case UnaryOp::kRelu:
      return map([d](auto x) HWY_ATTR { return hn::Max(x, hn::Zero(d)); });
    default:
      LOCKSTEP_FAIL("operation %d on integers", static_cast<int>(op));
  }
}

// ---- floats without rounding, in fp32 lanes ----

HWY_INLINE VF NegateF(VF x) { return hn::Xor(x, hn::SignBit(DF())); }
HWY_INLINE VF AbsF(VF x) { return hn::AndNot(hn::SignBit(DF()), x); }
HWY_INLINE VF ReluF(VF x) {
  const auto keep = hn::Or(hn::Gt(x, hn::Zero(DF())), hn::IsNaN(x));
  return hn::IfThenElseZero(keep, x);
}

template <VF (*f)(VF)>
void MapExact(NumericType type, const void* a, void* out, int lanes) {
  const DF d;
  if (type == NumericType::kFp32) {
    return MapUnary(d, d, a, out, lanes, [d](auto x) HWY_ATTR { return CanonicalNan(d, f(x)); });
  }
  const hn::Rebind<uint16_t, DF> dh;
  MapUnary(dh, dh, a, out, lanes,
           [d](auto x) HWY_ATTR { return NarrowHalf(d, f(WidenHalf(d, x))); });
}

// ---- functions, in fp64 lanes ----

// e^x for |x| <= 200.
HWY_INLINE V64 ExpCore(V64 x) {
  constexpr double kInverseFactorial[] = {1.0 / 479001600,
                                          1.0 / 39916800,
                                          1.0 / 3628800,
                                          1.0 / 362880,
                                          1.0 / 40320,
                                          1.0 / 5040,
                                          1.0 / 720,
                                          1.0 / 120,
                                          1.0 / 24,
                                          1.0 / 6,
                                          1.0 / 2,
                                          1.0,
                                          1.0};
  // ln 2 in two parts; n times the first is exact.
  constexpr double kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33;
  const D64 d;
  const hn::RebindToSigned<D64> di;
  const auto magic = hn::Set(d, 0x1.8p52);  // adding it rounds to an integer, left in the low bits
  const auto shifted = hn::Add(hn::Mul(x, hn::Set(d, 0x1.71547652b82fep+0)), magic);
  const auto n = hn::Sub(shifted, magic);
  const auto r =
      hn::Sub(hn::Sub(x, hn::Mul(n, hn::Set(d, kLn2High))), hn::Mul(n, hn::Set(d, kLn2Low)));
  auto p = hn::Set(d, kInverseFactorial[0]);
  for (int i = 1; i <= 12; ++i) p = hn::Add(hn::Mul(p, r), hn::Set(d, kInverseFactorial[i]));
  const auto exponent = hn::Add(hn::BitCast(di, shifted), hn::Set(di, 1023));
  return hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<52>(exponent)));
}

// NaN: any value, replaced by the caller. 90 overflows fp32, -110 is below half its least value.
HWY_INLINE V64 Exp64(V64 x) {
  const D64 d;
  return ExpCore(hn::Min(hn::Max(x, hn::Set(d, -110)), hn::Set(d, 90)));
}

// (e^2x - 1) / (e^2x + 1); below 2^-12, where that cancels, x - x^3 / 3.
HWY_INLINE V64 Tanh64(V64 x) {
  const D64 d;
  const auto size = hn::Min(hn::Abs(x), hn::Set(d, 20));
  const auto e = hn::Sub(ExpCore(hn::Add(size, size)), hn::Set(d, 1));
  const auto large = hn::Div(e, hn::Add(e, hn::Set(d, 2)));
  const auto cube = hn::Mul(hn::Mul(size, size), size);
  const auto small = hn::Sub(size, hn::Div(cube, hn::Set(d, 3)));
  const auto r = hn::IfThenElse(hn::Lt(size, hn::Set(d, 0x1p-12)), small, large);
  return hn::CopySignToAbs(r, x);
}

HWY_INLINE V64 Rsqrt64(V64 x) { return hn::Div(hn::Set(D64(), 1), hn::Sqrt(x)); }

template <V64 (*f)(V64)>
void MapRounded(NumericType type, const void* a, void* out, int lanes) {
  const D64 d;
  const hn::Rebind<float, D64> df;
  const auto through = [d, df](auto x) HWY_ATTR {
    const auto y = NarrowDouble(df, f(hn::PromoteTo(d, x)));
    return CanonicalNan(df, hn::IfThenElse(hn::IsNaN(x), x, y));
  };
  if (type == NumericType::kFp32) return MapUnary(df, df, a, out, lanes, through);
  const hn::Rebind<uint16_t, D64> dh;
  MapUnary(dh, dh, a, out, lanes,
           [df, through](auto x) HWY_ATTR { return NarrowHalf(df, through(WidenHalf(df, x))); });
}

void Floats(UnaryOp op, NumericType type, const void* a, void* out, int lanes) {
  switch (op) {
    case UnaryOp::kNegate:
      return MapExact<NegateF>(type, a, out, lanes);
    case UnaryOp::kAbs:
      return MapExact<AbsF>(type, a, out, lanes);
    case UnaryOp::kRelu:
      return MapExact<ReluF>(type, a, out, lanes);
    case UnaryOp::kExp:
      return MapRounded<Exp64>(type, a, out, lanes);
    case UnaryOp::kTanh:
      return MapRounded<Tanh64>(type, a, out, lanes);
    case UnaryOp::kRsqrt:
      return MapRounded<Rsqrt64>(type, a, out, lanes);
  }
}

void Unary(UnaryOp op, NumericType type, const void* a, void* out, int lanes) {
  switch (type) {
    case NumericType::kInt8:
      return Integers<int8_t>(op, a, out, lanes);
    case NumericType::kInt16:
      return Integers<int16_t>(op, a, out, lanes);
    case NumericType::kInt32:
      return Integers<int32_t>(op, a, out, lanes);
    default:
      return Floats(op, type, a, out, lanes);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(Unary);

void VxmUnary(UnaryOp op, NumericType type, const void* a, void* out, int lanes) {
  LOCKSTEP_CHECK(IsSupported(op, type), "operation %d on type %d", static_cast<int>(op),
                 static_cast<int>(type));
  HWY_DYNAMIC_DISPATCH(Unary)(op, type, a, out, lanes);
}

}  // namespace lockstep
#endif  // HWY_ONCE
