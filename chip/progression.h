#pragma once
// Arithmetic progressions of cycles: what a repeated run is to the timing engine.
//
//   {first 3, period 4, count 3}  =  3, 7, 11
//
// Two of them meet where a linear congruence has a solution, so whether two runs ever touch the
// same thing in the same cycle is one gcd, whatever their counts.

#include <cstdint>
#include <utility>
#include <vector>

namespace lockstep {

struct Progression {
  int64_t first = 0;
  int64_t period = 1;  // > 0
  int64_t count = 1;   // > 0

  int64_t last() const { return first + (count - 1) * period; }
  int64_t at(int64_t i) const { return first + i * period; }
  bool operator==(const Progression&) const = default;
};

// Indices first, first + step, ... of a progression; none if count is 0.
struct Indices {
  int64_t first = 0;
  int64_t step = 1;
  int64_t count = 0;
  bool operator==(const Indices&) const = default;
};

// Every i for which a.at(i) is also in b.
Indices CommonIndices(const Progression& a, const Progression& b);

// Which of the elements 0..n-1 have been claimed: the claims of one reader on its producers.
// Ranges are kept as ranges; only claims with gaps fall back to one flag an element.
class Coverage {
 public:
  void Reset(int64_t n);
  // Claims those of `indices` that are still free; returns how many there were.
  int64_t Claim(const Indices& indices);
  bool complete() const { return left_ == 0; }
  int64_t left() const { return left_; }
  // REQUIRES: !complete().
  int64_t first_free() const;

 private:
  int64_t ClaimRange(int64_t begin, int64_t end);
  void UseFlags();

  int64_t n_ = 0;
  int64_t left_ = 0;
  bool flags_used_ = false;
  std::vector<std::pair<int64_t, int64_t>> free_, next_;  // [begin, end), ascending
  std::vector<uint8_t> taken_;                            // by element, once flags_used_
};

}  // namespace lockstep
