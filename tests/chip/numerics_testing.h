#pragma once
// For the tests of chip/numerics.h: seeded random bits, and a loop over every SIMD target that this
// host can run, so that "the same bits on every target" is something a test can check.

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdint>
#include <functional>

namespace lockstep::testing {

// xorshift64*: fast enough to feed 10^8 operands.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Du;
  }
  // 0 .. below - 1.
  uint32_t Below(uint32_t below) { return static_cast<uint32_t>((Next() >> 32) * below >> 32); }

 private:
  uint64_t state_;
};

// Runs `body` once with each target forced; the argument names it.
inline void ForEachTarget(const std::function<void(const char*)>& body) {
  hwy::SetSupportedTargetsForTest(0);
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body(hwy::TargetName(target));
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace lockstep::testing
