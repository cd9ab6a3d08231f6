// Byte planes to native arrays and back, 320 lanes at a time:
//
//   plane 0  a0 a1 a2 ...        native (2 planes)  a0 b0 | a1 b1 | a2 b2 ...
//   plane 1  b0 b1 b2 ...

#include <cstring>

#include "chip/check.h"
#include "chip/numerics.h"
#include "chip/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "chip/numerics_planes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "chip/numerics_inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

using D8 = hn::ScalableTag<uint8_t>;
inline constexpr int kStep = HWY_LANES(uint8_t);
static_assert(kLanes % kStep == 0);

void Join2(const uint8_t* p0, const uint8_t* p1, uint8_t* out) {
  const D8 d;
  for (int i = 0; i < kLanes; i += kStep) {
    hn::StoreInterleaved2(hn::LoadU(d, p0 + i), hn::LoadU(d, p1 + i), d, out + 2 * i);
  }
}

void Join4(const uint8_t* p0, const uint8_t* p1, const uint8_t* p2, const uint8_t* p3,
           uint8_t* out) {
  const D8 d;
  for (int i = 0; i < kLanes; i += kStep) {
    hn::StoreInterleaved4(hn::LoadU(d, p0 + i), hn::LoadU(d, p1 + i), hn::LoadU(d, p2 + i),
                          hn::LoadU(d, p3 + i), d, out + 4 * i);
  }
}

void Split2(const uint8_t* native, uint8_t* p0, uint8_t* p1) {
  const D8 d;
  for (int i = 0; i < kLanes; i += kStep) {
    VecOf<D8> v0, v1;
    hn::LoadInterleaved2(d, native + 2 * i, v0, v1);
    hn::StoreU(v0, d, p0 + i);
    hn::StoreU(v1, d, p1 + i);
  }
}

void Split4(const uint8_t* native, uint8_t* p0, uint8_t* p1, uint8_t* p2, uint8_t* p3) {
  const D8 d;
  for (int i = 0; i < kLanes; i += kStep) {
    VecOf<D8> v0, v1, v2, v3;
    hn::LoadInterleaved4(d, native + 4 * i, v0, v1, v2, v3);
    hn::StoreU(v0, d, p0 + i);
    hn::StoreU(v1, d, p1 + i);
    hn::StoreU(v2, d, p2 + i);
    hn::StoreU(v3, d, p3 + i);
  }
}

void Plane2(const uint8_t* native, int plane, uint8_t* out) {
  const hn::ScalableTag<int16_t> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  const auto* in = reinterpret_cast<const int16_t*>(native);
  for (int i = 0; i < kLanes; i += HWY_LANES(int16_t)) {
    const auto shifted = hn::ShiftRightSame(hn::LoadU(d16, in + i), 8 * plane);
    hn::StoreU(hn::DemoteTo(d8, hn::And(shifted, hn::Set(d16, 0xFF))), d8, out + i);
  }
}

void Plane4(const uint8_t* native, int plane, uint8_t* out) {
  const hn::ScalableTag<int32_t> d32;
  const hn::Rebind<uint8_t, decltype(d32)> d8;
  const auto* in = reinterpret_cast<const int32_t*>(native);
  for (int i = 0; i < kLanes; i += HWY_LANES(int32_t)) {
    const auto shifted = hn::ShiftRightSame(hn::LoadU(d32, in + i), 8 * plane);
    hn::StoreU(hn::DemoteTo(d8, hn::And(shifted, hn::Set(d32, 0xFF))), d8, out + i);
  }
}

const char* Name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(Join2);
HWY_EXPORT(Join4);
HWY_EXPORT(Split2);
HWY_EXPORT(Split4);
HWY_EXPORT(Plane2);
HWY_EXPORT(Plane4);
HWY_EXPORT(Name);

void Interleave2(const uint8_t* plane0, const uint8_t* plane1, uint16_t out[320]) {
  HWY_DYNAMIC_DISPATCH(Join2)(plane0, plane1, reinterpret_cast<uint8_t*>(out));
}
void Interleave4(const uint8_t* plane0, const uint8_t* plane1, const uint8_t* plane2,
                 const uint8_t* plane3, uint32_t out[320]) {
  HWY_DYNAMIC_DISPATCH(Join4)(plane0, plane1, plane2, plane3, reinterpret_cast<uint8_t*>(out));
}
void Deinterleave2(const uint16_t native[320], uint8_t* plane0, uint8_t* plane1) {
  HWY_DYNAMIC_DISPATCH(Split2)(reinterpret_cast<const uint8_t*>(native), plane0, plane1);
}
void Deinterleave4(const uint32_t native[320], uint8_t* plane0, uint8_t* plane1, uint8_t* plane2,
                   uint8_t* plane3) {
  HWY_DYNAMIC_DISPATCH(Split4)
  (reinterpret_cast<const uint8_t*>(native), plane0, plane1, plane2, plane3);
}

void ExtractPlane(const void* native, int width, int plane, uint8_t out[320]) {
  LOCKSTEP_CHECK(plane >= 0 && plane < width, "plane %d of %d", plane, width);
  const auto* bytes = static_cast<const uint8_t*>(native);
  switch (width) {
    case 1:
      std::memcpy(out, bytes, kLanes);
      return;
    case 2:
      HWY_DYNAMIC_DISPATCH(Plane2)(bytes, plane, out);
      return;
    case 4:
      HWY_DYNAMIC_DISPATCH(Plane4)(bytes, plane, out);
      return;
    default:
      LOCKSTEP_FAIL("an element of %d bytes", width);
  }
}

const char* SimdTargetName() { return HWY_DYNAMIC_DISPATCH(Name)(); }

}  // namespace lockstep
#endif  // HWY_ONCE
