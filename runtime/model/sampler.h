#pragma once
// The next token from a row of logits, on the host. Greedy, or drawn from the softmax at a
// temperature, cut to the k likeliest and to the smallest set of probability top_p. Everything is
// written out (generator, exp, order of sums), so a seed gives the same tokens on every host.

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

namespace lockstep {

struct SamplerOptions {
  bool greedy = true;        // the others count only when false
  double temperature = 1.0;  // > 0
  int top_k = 0;             // 0: no limit
  double top_p = 1.0;        // 0 < top_p <= 1
  uint64_t seed = 0;
};

// xoshiro256** of Blackman and Vigna (public domain), seeded through splitmix64.
class RandomBits {
 public:
  explicit RandomBits(uint64_t seed);
  uint64_t Next();
  // Uniform in [0, 1): the upper 53 bits.
  double NextUnit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_[4];
};

class Sampler {
 public:
  // InvalidArgument names the option and its value.
  static absl::StatusOr<Sampler> Create(const SamplerOptions& options);

  // Index of the chosen logit. Equal logits: the lower index comes first. A draw takes exactly
  // one number from the generator. Errors: no logits, or one that is NaN or +infinity (named);
  // -infinity means "never".
  absl::StatusOr<int> Sample(std::span<const float> logits);

 private:
  explicit Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {}

  SamplerOptions options_;
  RandomBits random_;
};

}  // namespace lockstep
