// The VXM's operations on two operands (contract: chip/numeric_types.h). fp16 goes through fp32:
// for add, sub and mul the second rounding is innocuous, because 24 >= 2 * 11 + 2 bits.

#include <cstdint>
#include <limits>

#include "chip/check.h"
#include "chip/numerics.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "chip/numerics_vxm_binary.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "chip/numerics_inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

using DF = hn::ScalableTag<float>;
using VF = VecOf<DF>;

// Where the operands of an instruction are.
struct Operands {
  const void* a;
  const void* b;
  void* out;
  int lanes;
};

template <class D, class F>
HWY_INLINE void Map(D d, const Operands& o, F f) {
  MapBinary(d, o.a, o.b, o.out, o.lanes, f);
}

// ---- bits ----

template <class T>
void BitOp(BinaryOp op, T magnitude_mask, const Operands& o) {
  const hn::ScalableTag<T> d;
  switch (op) {
    case BinaryOp::kAnd:
      return Map(d, o, [](auto x, auto y) { return hn::And(x, y); });
    case BinaryOp::kOr:
      return Map(d, o, [](auto x, auto y) { return hn::Or(x, y); });
    case BinaryOp::kXor:
      return Map(d, o, [](auto x, auto y) { return hn::Xor(x, y); });
    default:
      break;
  }
  const auto zero = hn::Zero(d);
  const auto mask = hn::Set(d, magnitude_mask);
  Map(d, o, [zero, mask](auto x, auto y) HWY_ATTR {
    return hn::IfThenElse(hn::Eq(hn::And(y, mask), zero), zero, x);
  });
}

void Bits(BinaryOp op, NumericType type, const Operands& o) {
  switch (type) {
    case NumericType::kInt8:
      return BitOp<uint8_t>(op, 0xFF, o);
    case NumericType::kInt16:
      return BitOp<uint16_t>(op, 0xFFFF, o);
    case NumericType::kInt32:
      return BitOp<uint32_t>(op, 0xFFFFFFFFu, o);
    case NumericType::kFp16:
      return BitOp<uint16_t>(op, 0x7FFF, o);
    case NumericType::kFp32:
      return BitOp<uint32_t>(op, 0x7FFFFFFFu, o);
  }
}

// ---- integers ----

// a +- b did overflow where `overflow` is negative; a then has the sign of the exact result.
template <class D, class V>
HWY_INLINE V Saturate32(D d, V a, V wrapped, V overflow) {
  const auto limit = hn::Xor(hn::BroadcastSignBit(a), hn::Set(d, INT32_MAX));
  return hn::IfThenElse(hn::Lt(overflow, hn::Zero(d)), limit, wrapped);
}

template <class T>
void Saturating(bool subtract, const Operands& o) {
  const hn::ScalableTag<T> d;
  if constexpr (sizeof(T) < 4) {
    if (subtract) Map(d, o, [](auto x, auto y) { return hn::SaturatedSub(x, y); });
    if (!subtract) Map(d, o, [](auto x, auto y) { return hn::SaturatedAdd(x, y); });
  } else if (subtract) {
    Map(d, o, [d](auto x, auto y) HWY_ATTR {
      const auto r = hn::Sub(x, y);
      return Saturate32(d, x, r, hn::And(hn::Xor(x, y), hn::Xor(x, r)));
    });
  } else {
    Map(d, o, [d](auto x, auto y) HWY_ATTR {
      const auto r = hn::Add(x, y);
      return Saturate32(d, x, r, hn::AndNot(hn::Xor(x, y), hn::Xor(x, r)));
    });
  }
}

// Products of int8 and int16 in twice the width, where they are exact.
template <class T>
void MulNarrow(bool saturate, const Operands& o) {
  const hn::ScalableTag<hwy::MakeWide<T>> wide;
  const hn::Rebind<T, decltype(wide)> d;
  constexpr int kBits = 8 * sizeof(T);
  Map(d, o, [=](auto x, auto y) HWY_ATTR {
    auto p = hn::Mul(hn::PromoteTo(wide, x), hn::PromoteTo(wide, y));
    if (!saturate) p = hn::ShiftRight<kBits>(hn::ShiftLeft<kBits>(p));
    return hn::DemoteTo(d, p);
  });
}

void MulInt32(bool saturate, const Operands& o) {
  if (!saturate) {
    return Map(hn::ScalableTag<int32_t>(), o, [](auto x, auto y) { return hn::Mul(x, y); });
  }
  // In fp64 a product is exact to 2^53, and beyond that far out of range however it rounds.
  const hn::ScalableTag<double> wide;
  const hn::Rebind<int32_t, decltype(wide)> d;
  const auto low = hn::Set(wide, -0x1p31), high = hn::Set(wide, 0x1p31 - 1);
  Map(d, o, [=](auto x, auto y) HWY_ATTR {
    const auto p = hn::Mul(hn::PromoteTo(wide, x), hn::PromoteTo(wide, y));
    return hn::DemoteTo(d, hn::Min(hn::Max(p, low), high));
  });
}

template <class T>
void Multiply(bool saturate, const Operands& o) {
  if constexpr (sizeof(T) < 4) return MulNarrow<T>(saturate, o);
  if constexpr (sizeof(T) == 4) return MulInt32(saturate, o);
}

template <class T>
void Integers(BinaryOp op, const Operands& o) {
  const hn::ScalableTag<T> d;
  switch (op) {
    case BinaryOp::kAdd:
      return Map(d, o, [](auto x, auto y) { return hn::Add(x, y); });
    case BinaryOp::kSub:
      return Map(d, o, [](auto x, auto y) { return hn::Sub(x, y); });
    case BinaryOp::kMul:
      return Multiply<T>(false, o);
    case BinaryOp::kMulSaturating:
      return Multiply<T>(true, o);
    case BinaryOp::kAddSaturating:
      return Saturating<T>(false, o);
    case BinaryOp::kSubSaturating:
      return Saturating<T>(true, o);
    case BinaryOp::kMax:
      return Map(d, o, [](auto x, auto y) { return hn::Max(x, y); });
    case BinaryOp::kMin:
      return Map(d, o, [](auto x, auto y) { return hn::Min(x, y); });
    case BinaryOp::kEqual:
      return Map(d, o, [d](auto x, auto y) { return hn::VecFromMask(d, hn::Eq(x, y)); });
    case BinaryOp::kGreater:
      return Map(d, o, [d](auto x, auto y) { return hn::VecFromMask(d, hn::Gt(x, y)); });
    case BinaryOp::kGreaterEqual:
      return Map(d, o, [d](auto x, auto y) { return hn::Not(hn::VecFromMask(d, hn::Gt(y, x))); });
    default:
      LOCKSTEP_FAIL("operation %d on integers", static_cast<int>(op));
  }
}

// ---- floats: each operation once in fp32 lanes, for fp32 and fp16 alike ----

// Max, or Min. Equal operands differ at most in the sign of zero.
template <bool kMax>
HWY_INLINE VF Extreme(VF x, VF y) {
  auto r = hn::IfThenElse(kMax ? hn::Gt(x, y) : hn::Lt(x, y), x, y);
  r = hn::IfThenElse(hn::Eq(x, y), kMax ? hn::And(x, y) : hn::Or(x, y), r);
  return hn::IfThenElse(hn::IsNaN(x), x, r);  // if only y is NaN, r already is y
}

template <VF (*f)(VF, VF)>
void MapValues(NumericType type, const Operands& o) {
  const DF d;
  if (type == NumericType::kFp32) {
    return Map(d, o, [d](auto x, auto y) HWY_ATTR { return CanonicalNan(d, f(x, y)); });
  }
  Map(hn::Rebind<uint16_t, DF>(), o,
      [d](auto x, auto y) HWY_ATTR { return NarrowHalf(d, f(WidenHalf(d, x), WidenHalf(d, y))); });
}

template <VF (*f)(VF, VF)>
void MapMasks(NumericType type, const Operands& o) {
  const DF d;
  if (type == NumericType::kFp32) return Map(d, o, f);
  const hn::Rebind<int16_t, DF> d16;
  const hn::RebindToSigned<DF> d32;
  Map(hn::Rebind<uint16_t, DF>(), o, [=](auto x, auto y) HWY_ATTR {
    const auto mask = hn::BitCast(d32, f(WidenHalf(d, x), WidenHalf(d, y)));
    return hn::BitCast(hn::Rebind<uint16_t, DF>(), hn::DemoteTo(d16, mask));
  });
}

HWY_INLINE VF AddF(VF x, VF y) { return hn::Add(x, y); }
HWY_INLINE VF SubF(VF x, VF y) { return hn::Sub(x, y); }
HWY_INLINE VF MulF(VF x, VF y) { return hn::Mul(x, y); }
HWY_INLINE VF MaxF(VF x, VF y) { return Extreme<true>(x, y); }
HWY_INLINE VF MinF(VF x, VF y) { return Extreme<false>(x, y); }
HWY_INLINE VF EqualF(VF x, VF y) { return hn::VecFromMask(DF(), hn::Eq(x, y)); }
HWY_INLINE VF GreaterF(VF x, VF y) { return hn::VecFromMask(DF(), hn::Gt(x, y)); }
HWY_INLINE VF GreaterEqualF(VF x, VF y) { return hn::VecFromMask(DF(), hn::Ge(x, y)); }

void Floats(BinaryOp op, NumericType type, const Operands& o) {
  switch (op) {
    case BinaryOp::kAdd:
      return MapValues<AddF>(type, o);
    case BinaryOp::kSub:
      return MapValues<SubF>(type, o);
    case BinaryOp::kMul:
      return MapValues<MulF>(type, o);
    case BinaryOp::kMax:
      return MapValues<MaxF>(type, o);
    case BinaryOp::kMin:
      return MapValues<MinF>(type, o);
    case BinaryOp::kEqual:
      return MapMasks<EqualF>(type, o);
    case BinaryOp::kGreater:
      return MapMasks<GreaterF>(type, o);
    case BinaryOp::kGreaterEqual:
      return MapMasks<GreaterEqualF>(type, o);
    default:
      LOCKSTEP_FAIL("operation %d on floats", static_cast<int>(op));
  }
}

void Binary(BinaryOp op, NumericType type, const void* a, const void* b, void* out, int lanes) {
  const Operands o{a, b, out, lanes};
  if (op >= BinaryOp::kMask) return Bits(op, type, o);
  switch (type) {
    case NumericType::kInt8:
      return Integers<int8_t>(op, o);
    case NumericType::kInt16:
      return Integers<int16_t>(op, o);
    case NumericType::kInt32:
      return Integers<int32_t>(op, o);
    default:
      return Floats(op, type, o);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(Binary);

void VxmBinary(BinaryOp op, NumericType type, const void* a, const void* b, void* out, int lanes) {
  LOCKSTEP_CHECK(IsSupported(op, type), "operation %d on type %d", static_cast<int>(op),
                 static_cast<int>(type));
  HWY_DYNAMIC_DISPATCH(Binary)(op, type, a, b, out, lanes);
}

}  // namespace lockstep
#endif  // HWY_ONCE
