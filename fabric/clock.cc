// Integer simulation of drifting, jittering, aligning counters (fabric/clock.h).
#include "fabric/clock.h"

#include <algorithm>
#include <cstdlib>

#include "chip/check.h"

namespace lockstep {
namespace {

constexpr int64_t kNano = 1'000'000'000;

// Rounded to the nearest whole, halves up.
int64_t Rounded(int64_t value, int64_t unit) {
  const int64_t shifted = value + unit / 2;
  return shifted >= 0 ? shifted / unit : -((-shifted + unit - 1) / unit);
}

int64_t AwayFromZero(int64_t nano) { return (std::abs(nano) + kNano - 1) / kNano; }

// A difference of two counters as hardware sees it: -126 .. 125.
int64_t Wrapped(int64_t cycles) {
  const int64_t m = ((cycles % kHacPeriod) + kHacPeriod) % kHacPeriod;
  return m >= kHacPeriod / 2 ? m - kHacPeriod : m;
}

// The same of two phases in 1e-9 cycle: a whole period apart is not apart.
int64_t WrappedNano(int64_t nano) {
  constexpr int64_t kPeriod = kHacPeriod * kNano;
  const int64_t m = ((nano % kPeriod) + kPeriod) % kPeriod;
  return m >= kPeriod / 2 ? m - kPeriod : m;
}

}  // namespace

uint64_t SeededBits::Next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

int64_t SeededBits::NormalQ16() {
  int64_t sum = 0;
  for (int i = 0; i < 3; ++i) {
    for (uint64_t four = Next(), k = 0; k < 4; ++k, four >>= 16) sum += four & 0xffff;
  }
  return sum - 6 * 65535;
}

int64_t JitterModel::Sample(SeededBits& bits) const {
  for (;;) {
    const int64_t q16_milli = mean_milli * 65536 + sigma_milli * bits.NormalQ16();
    const int64_t cycles = Rounded(q16_milli, 65536 * 1000);
    if (cycles >= least && cycles <= most) return cycles;
  }
}

Characterised Characterise(const JitterModel& jitter, int whole_epochs, int iterations,
                           uint64_t seed) {
  LOCKSTEP_CHECK(iterations > 0 && whole_epochs >= 0, "%d iterations", iterations);
  SeededBits bits(seed);
  Characterised out{kHacPeriod, 0, 0, 0};
  int64_t sum = 0, squares = 0;
  for (int i = 0; i < iterations; ++i) {
    const int64_t latency = jitter.Sample(bits) + int64_t{whole_epochs} * kHacPeriod;
    // The parent's counter in the notice, and the counter when it is compared.
    const int64_t sent = static_cast<int64_t>(bits.Next() % kHacPeriod);
    const int64_t seen = ((sent + latency) % kHacPeriod - sent + kHacPeriod) % kHacPeriod;
    out.least = std::min(out.least, seen), out.most = std::max(out.most, seen);
    sum += seen, squares += seen * seen;
  }
  out.mean_milli = Rounded(sum * 1000, iterations);
  const double mean = static_cast<double>(sum) / iterations;
  out.variance = static_cast<double>(squares) / iterations - mean * mean;
  return out;
}

int64_t StartEpochs(int64_t latency_cycles) {
  LOCKSTEP_CHECK(latency_cycles >= 0, "a latency of %d cycles", latency_cycles);
  int64_t epochs = 1;
  while (epochs * kHacPeriod <= latency_cycles) ++epochs;
  return epochs;
}

Alignment Align(const JitterModel& jitter, const AlignmentSetup& setup) {
  LOCKSTEP_CHECK(static_cast<int>(setup.drift_ppm.size()) == setup.hops + 1,
                 "%d drifts for %d hops", setup.drift_ppm.size(), setup.hops);
  SeededBits bits(setup.seed);
  const int64_t within =
      std::max(jitter.most - setup.latency_cycles, setup.latency_cycles - jitter.least);
  // Each chip's counter relative to the root's ideal time, in 1e-9 cycle; children start half a
  // period off, the worst there is.
  std::vector<int64_t> phase(setup.hops + 1, 0);
  for (int i = 1; i <= setup.hops; ++i) phase[i] = (kHacPeriod / 2 - 1) * kNano * (i % 2);
  Alignment out{0, 0, -1, {}};
  for (int epoch = 0; epoch < setup.epochs; ++epoch) {
    for (int i = 0; i <= setup.hops; ++i) {
      phase[i] += int64_t{kHacPeriod} * setup.drift_ppm[i] * 1000;
    }
    for (int i = 1; i <= setup.hops; ++i) {
      const int64_t flown = jitter.Sample(bits);
      const int64_t seen =
          Wrapped(Rounded(phase[i - 1] - phase[i], kNano) + setup.latency_cycles - flown);
      phase[i] += std::clamp(seen, -setup.max_step_cycles, setup.max_step_cycles) * kNano;
    }
    if (out.settled_after_epochs < 0 && AwayFromZero(WrappedNano(phase[0] - phase[1])) <= within) {
      out.settled_after_epochs = epoch + 1;
    }
    if (epoch < setup.settle_epochs) continue;
    for (int i = 1; i <= setup.hops; ++i) {
      out.worst_cycles =
          std::max(out.worst_cycles, AwayFromZero(WrappedNano(phase[i - 1] - phase[i])));
      out.worst_to_root_cycles =
          std::max(out.worst_to_root_cycles, AwayFromZero(WrappedNano(phase[0] - phase[i])));
    }
  }
  for (int i = 1; i <= setup.hops; ++i) {
    out.last_errors.push_back(Rounded(WrappedNano(phase[i - 1] - phase[i]), kNano));
  }
  return out;
}

}  // namespace lockstep
