// SXM dispatches (chip/sxm.h).
#include "chip/sxm.h"

#include <bitset>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

constexpr int kL = kLanesPerSuperlane;

// out[i] = in[from[i]], or zero where from[i] < 0; elements of `width` bytes.
void Move(const uint8_t* in, const int16_t from[kLanes], int width, uint8_t* out) {
  const auto move = [&](auto zero) {
    using T = decltype(zero);
    const T* src = reinterpret_cast<const T*>(in);
    T* dst = reinterpret_cast<T*>(out);
    for (int i = 0; i < kLanes; ++i) dst[i] = from[i] < 0 ? zero : src[from[i]];
  };
  if (width == 1) move(uint8_t{0});
  if (width == 2) move(uint16_t{0});
  if (width == 4) move(uint32_t{0});
}

void Choose(const uint8_t* mask, const uint8_t* a, const uint8_t* b, int width, uint8_t* out) {
  const auto choose = [&](auto zero) {
    using T = decltype(zero);
    const T* x = reinterpret_cast<const T*>(a);
    const T* y = reinterpret_cast<const T*>(b);
    T* dst = reinterpret_cast<T*>(out);
    for (int i = 0; i < kLanes; ++i) dst[i] = mask[i] != 0 ? x[i] : y[i];
  };
  if (width == 1) choose(uint8_t{0});
  if (width == 2) choose(uint16_t{0});
  if (width == 4) choose(uint32_t{0});
}

}  // namespace

int SxmUnit::Width(const Dispatched& d) {
  if (d.arg(0) != 3) return d.arg(0);
  core_.Fail(FaultKind::kBadInstruction, d, "elements have 1, 2 or 4 bytes");
  return 0;
}

bool SxmUnit::Shift(const Dispatched& d) {
  const int width = Width(d), n = d.arg(1);
  if (width == 0) return false;
  alignas(64) uint8_t scratch[kGroupBytes];
  const uint8_t* in = core_.ReadGroup(d, d.arg(3), width, scratch);
  if (in == nullptr) return false;
  uint8_t* out = core_.NewGroup(d, width);
  // [kept | brought in], for a shift up by `up` of the cyclic 320.
  const int up = (n + kLanes) % kLanes, bytes = kLanes * width;
  std::memcpy(out + up * width, in, bytes - up * width);
  std::memcpy(out, in + bytes - up * width, up * width);
  if (d.arg(2) == 0) {
    const int at = n >= 0 ? 0 : kLanes + n;
    std::memset(out + at * width, 0, std::abs(n) * width);
  }
  return core_.Emit(d, d.arg(4), width, out);
}

bool SxmUnit::Select(const Dispatched& d) {
  const int width = Width(d);
  if (width == 0) return false;
  alignas(64) uint8_t scratch_a[kGroupBytes], scratch_b[kGroupBytes], scratch_mask[kLanes];
  const uint8_t* a = core_.ReadGroup(d, d.arg(1), width, scratch_a);
  if (a == nullptr) return false;
  const uint8_t* b = core_.ReadGroup(d, d.arg(2), width, scratch_b);
  if (b == nullptr) return false;
  const uint8_t* mask = core_.ReadPlane(d, d.arg(3), scratch_mask);
  if (mask == nullptr) return false;
  uint8_t* out = core_.NewGroup(d, width);
  Choose(mask, a, b, width, out);
  return core_.Emit(d, d.arg(4), width, out);
}

bool SxmUnit::Permute(const Dispatched& d) {
  const int width = Width(d);
  if (width == 0) return false;
  alignas(64) uint8_t scratch[kGroupBytes], scratch_map[kGroupBytes];
  const uint8_t* in = core_.ReadGroup(d, d.arg(1), width, scratch);
  if (in == nullptr) return false;
  const uint8_t* map_bytes = core_.ReadGroup(d, d.arg(2), 2, scratch_map);
  if (map_bytes == nullptr) return false;
  int16_t from[kLanes];
  std::bitset<kLanes> taken;
  for (int i = 0; i < kLanes; ++i) {
    const int lane = map_bytes[2 * i] | map_bytes[2 * i + 1] << 8;
    if (lane >= kLanes || taken[lane]) {
      return core_.Fail(FaultKind::kNotBijective, d,
                        absl::StrCat("lane ", i, " takes lane ", lane,
                                     lane < kLanes ? ", as another does" : ", which is none"));
    }
    taken[lane] = true;
    from[i] = static_cast<int16_t>(lane);
  }
  uint8_t* out = core_.NewGroup(d, width);
  Move(in, from, width, out);
  return core_.Emit(d, d.arg(3), width, out);
}

bool SxmUnit::Distribute(const Dispatched& d) {
  const int width = Width(d);
  if (width == 0) return false;
  alignas(64) uint8_t scratch[kGroupBytes];
  const uint8_t* in = core_.ReadGroup(d, d.arg(4), width, scratch);
  if (in == nullptr) return false;
  const uint64_t nibbles =
      uint64_t{static_cast<uint32_t>(d.arg(2))} << 32 | static_cast<uint32_t>(d.arg(1));
  int16_t from[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const int in_superlane = i % kL;
    const bool zero = d.arg(3) >> in_superlane & 1;
    from[i] = static_cast<int16_t>(zero ? -1 : i - in_superlane + (nibbles >> 4 * in_superlane & 15));
  }
  uint8_t* out = core_.NewGroup(d, width);
  Move(in, from, width, out);
  return core_.Emit(d, d.arg(5), width, out);
}

bool SxmUnit::Rotate(const Dispatched& d) {
  const int n = d.arg(0);
  alignas(64) uint8_t scratch[kLanes];
  const uint8_t* in = core_.ReadPlane(d, d.arg(1), scratch);
  if (in == nullptr) return false;
  for (int k = 0; k < n * n; ++k) {
    const int i = k / n, j = k % n;
    uint8_t* out = core_.NewGroup(d, 1);
    std::memset(out, 0, kLanes);
    for (int lane = 0; lane < n * n; ++lane) {
      const int from = (lane / n + i) % n * n + (lane % n + j) % n;
      for (int base = 0; base < kLanes; base += kL) out[base + lane] = in[base + from];
    }
    if (!core_.Emit(d, d.arg(2) + k, 1, out)) return false;
  }
  return true;
}

bool SxmUnit::Transpose(const Dispatched& d) {
  alignas(64) uint8_t scratch[kL][kLanes];
  const uint8_t* in[kL];
  for (int i = 0; i < kL; ++i) {
    in[i] = core_.ReadPlane(d, d.arg(0) + i, scratch[i]);
    if (in[i] == nullptr) return false;
  }
  for (int j = 0; j < kL; ++j) {
    uint8_t* out = core_.NewGroup(d, 1);
    for (int base = 0; base < kLanes; base += kL) {
      for (int i = 0; i < kL; ++i) out[base + i] = in[i][base + j];
    }
    if (!core_.Emit(d, d.arg(1) + j, 1, out)) return false;
  }
  return true;
}

}  // namespace lockstep
