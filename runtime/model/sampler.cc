// Candidates are sorted by logit, then index; probabilities are summed in that order in double.

#include "runtime/model/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/files/portable_math.h"

namespace lockstep {
namespace {

absl::Status CheckLogits(std::span<const float> logits) {
  if (logits.empty()) return absl::InvalidArgumentError("no logits to choose from");
  bool possible = false;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == INFINITY) {
      return absl::InvalidArgumentError(absl::StrCat("logit ", i, " is ", logits[i]));
    }
    possible = possible || logits[i] != -INFINITY;
  }
  if (!possible) return absl::InvalidArgumentError("every logit is -infinity");
  return absl::OkStatus();
}

// Indices of the logits that may be drawn, likeliest first.
std::vector<int> Ranked(std::span<const float> logits, int top_k) {
  std::vector<int> order;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] != -INFINITY) order.push_back(static_cast<int>(i));
  }
  const auto before = [&](int a, int b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  if (top_k > 0 && static_cast<size_t>(top_k) < order.size()) {
    std::partial_sort(order.begin(), order.begin() + top_k, order.end(), before);
    order.resize(static_cast<size_t>(top_k));
  } else {
    std::sort(order.begin(), order.end(), before);
  }
  return order;
}

}  // namespace

RandomBits::RandomBits(uint64_t seed) {
  for (uint64_t& word : state_) {  // splitmix64
    seed += 0x9e3779b97f4a7c15ull;
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    word = z ^ (z >> 31);
  }
}

uint64_t RandomBits::Next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

absl::StatusOr<Sampler> Sampler::Create(const SamplerOptions& options) {
  if (!(options.temperature > 0) || !std::isfinite(options.temperature)) {
    return absl::InvalidArgumentError(
        absl::StrCat("temperature is ", options.temperature, ", must be above 0"));
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("top_p is ", options.top_p, ", must be above 0 and at most 1"));
  }
  if (options.top_k < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("top_k is ", options.top_k, ", must be 0 (no limit) or above"));
  }
  return Sampler(options);
}

absl::StatusOr<int> Sampler::Sample(std::span<const float> logits) {
  if (absl::Status status = CheckLogits(logits); !status.ok()) return status;
  if (options_.greedy) {
    // The first of the greatest.
    return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  const std::vector<int> order = Ranked(logits, options_.top_k);
  const double greatest = logits[static_cast<size_t>(order[0])];
  std::vector<double> weights;
  double total = 0;
  for (const int id : order) {
    weights.push_back(Exp((logits[static_cast<size_t>(id)] - greatest) / options_.temperature));
    total += weights.back();
  }
  // The smallest set of the likeliest whose share of all reaches top_p.
  double kept = 0;
  size_t count = 0;
  while (count < weights.size() && (count == 0 || kept < options_.top_p * total)) {
    kept += weights[count++];
  }
  const double target = random_.NextUnit() * kept;
  double passed = 0;
  for (size_t i = 0; i < count; ++i) {
    passed += weights[i];
    if (target < passed) return order[i];
  }
  return order[count - 1];  // the product rounded up to the sum
}

}  // namespace lockstep
