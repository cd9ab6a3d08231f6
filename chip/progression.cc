// Meeting points of arithmetic progressions (chip/progression.h).
#include "chip/progression.h"

#include <algorithm>
#include <numeric>

#include "chip/check.h"

namespace lockstep {
namespace {

// x with a * x = 1 modulo m. REQUIRES: gcd(a, m) = 1, 0 <= a < m or m = 1.
int64_t Inverse(int64_t a, int64_t m) {
  int64_t r0 = m, r1 = a, x0 = 0, x1 = 1;
  while (r1 > 1) {
    const int64_t q = r0 / r1;
    r0 = std::exchange(r1, r0 - q * r1);
    x0 = std::exchange(x1, x0 - q * x1);
  }
  return x1 < 0 ? x1 + m : x1;
}

int64_t Modulo(int64_t a, int64_t m) {
  const int64_t r = a % m;
  return r < 0 ? r + m : r;
}

}  // namespace

Indices CommonIndices(const Progression& a, const Progression& b) {
  const int64_t lo = std::max(a.first, b.first), hi = std::min(a.last(), b.last());
  if (lo > hi) return {};
  const int64_t gap = b.first - a.first;
  if (b.count == 1) {
    if (gap % a.period != 0) return {};
    return {gap / a.period, 1, 1};
  }
  if (a.count == 1) return {0, 1, gap % b.period == 0 ? 1 : 0};
  int64_t step = 1, start = 0;
  if (a.period == b.period) {
    if (gap % a.period != 0) return {};
  } else {
    // i * a.period = gap modulo b.period.
    const int64_t g = std::gcd(a.period, b.period);
    if (gap % g != 0) return {};
    step = b.period / g;
    if (step > 1) {
      start = Modulo(gap / g, step) * Inverse(a.period / g % step, step) % step;
    }
  }
  const int64_t from = (lo - a.first + a.period - 1) / a.period;
  const int64_t to = (hi - a.first) / a.period;
  const int64_t first = from + Modulo(start - from, step);
  if (first > to) return {};
  const int64_t count = (to - first) / step + 1;
  return {first, count == 1 ? 1 : step, count};
}

void Coverage::Reset(int64_t n) {
  n_ = left_ = n;
  flags_used_ = false;
  free_.clear();
  free_.emplace_back(0, n);
}

int64_t Coverage::Claim(const Indices& indices) {
  if (indices.count == 0 || left_ == 0) return 0;
  int64_t claimed = 0;
  if (indices.step == 1 && !flags_used_) {
    claimed = ClaimRange(indices.first, indices.first + indices.count);
  } else {
    if (!flags_used_) UseFlags();
    for (int64_t k = 0; k < indices.count; ++k) {
      uint8_t& taken = taken_[indices.first + k * indices.step];
      claimed += 1 - taken;
      taken = 1;
    }
  }
  left_ -= claimed;
  return claimed;
}

int64_t Coverage::ClaimRange(int64_t begin, int64_t end) {
  if (begin == 0 && end == n_) return left_;  // complete: free_ is not asked any more
  next_.clear();
  int64_t claimed = 0;
  for (const auto& [b, e] : free_) {
    const int64_t lo = std::max(b, begin), hi = std::min(e, end);
    if (lo >= hi) {
      next_.emplace_back(b, e);
      continue;
    }
    claimed += hi - lo;
    if (b < lo) next_.emplace_back(b, lo);
    if (hi < e) next_.emplace_back(hi, e);
  }
  free_.swap(next_);
  return claimed;
}

void Coverage::UseFlags() {
  flags_used_ = true;
  taken_.assign(n_, 1);
  for (const auto& [b, e] : free_) std::fill(taken_.begin() + b, taken_.begin() + e, 0);
}

int64_t Coverage::first_free() const {
  LOCKSTEP_CHECK(left_ > 0, "all %d elements are claimed", n_);
  if (!flags_used_) return free_.front().first;
  return std::find(taken_.begin(), taken_.end(), 0) - taken_.begin();
}

}  // namespace lockstep
