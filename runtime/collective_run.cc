// One collective from request to checked result (runtime/collective_run.h).
#include "runtime/collective_run.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/functional.h"
#include "chip/timing.h"
#include "fabric/fleet.h"
#include "fabric/local_fabric.h"
#include "runtime/machine.h"
#include "runtime/verify.h"

namespace lockstep {
namespace {

using Lanes = std::array<float, kLanes>;

bool Reduces(CollectiveKind kind) {
  return kind == CollectiveKind::kAllReduce || kind == CollectiveKind::kReduceScatter;
}

// What a chip contributes. The lower half of the lanes are multiples of 1/256 in [-1, 1), whose sums
// over all chips there can be are exact whatever the order; the upper half use all 24 bits.
Lanes Part(int chip, int word) {
  Lanes out;
  uint32_t x = static_cast<uint32_t>(chip) * 2654435761u ^ static_cast<uint32_t>(word) * 2246822519u;
  for (int lane = 0; lane < kLanes; ++lane) {
    x = (x ^ static_cast<uint32_t>(lane)) * 3266489917u;
    x ^= x >> 15;
    const int32_t signed_bits = static_cast<int32_t>(x);
    out[lane] = lane < kLanes / 2 ? static_cast<float>(signed_bits >> 23) / 256
                                  : static_cast<float>(signed_bits >> 8) / (1 << 23);
  }
  return out;
}

void Store(Sram& sram, Quad at, const Lanes& lanes) {
  for (int k = 0; k < 4; ++k) {
    Vector v;
    for (int lane = 0; lane < kLanes; ++lane) {
      v.bytes[lane] = static_cast<uint8_t>(std::bit_cast<uint32_t>(lanes[lane]) >> (8 * k));
    }
    sram.Store(ColumnSlice(at.side, at.column, k), at.address, v);
  }
}

Lanes Load(const Sram& sram, Quad at) {
  std::array<uint32_t, kLanes> bits{};
  for (int k = 0; k < 4; ++k) {
    const Vector v = sram.Load(ColumnSlice(at.side, at.column, k), at.address);
    for (int lane = 0; lane < kLanes; ++lane) bits[lane] |= uint32_t{v.bytes[lane]} << (8 * k);
  }
  return std::bit_cast<Lanes>(bits);
}

int InputWords(const FabricCollective& c) {
  return c.kind == CollectiveKind::kAllGather ? c.shard : c.words;
}
int OutputWords(const FabricCollective& c) {
  return c.kind == CollectiveKind::kReduceScatter ? c.shard : c.words;
}

// Results against their definition, word by word of the message so that sums are made once.
class Checker {
 public:
  Checker(const FabricCollective& c, const std::vector<std::unique_ptr<FunctionalEngine>>& engines)
      : c_(c), engines_(engines) {}

  absl::Status Check() {
    for (int chip = 0; chip < c_.chips; ++chip) {
      for (int w = 0; w < OutputWords(c_); ++w) {
        const Lanes got = Load(engines_[chip]->sram(), c_.Output(chip, w));
        digest_ = XXH64(got.data(), sizeof(got), digest_);
        RETURN_IF_ERROR(Reduces(c_.kind) ? Sum(chip, w, got) : Copy(chip, w, got));
      }
    }
    return absl::OkStatus();
  }
  uint64_t digest() const { return digest_; }
  double max_error() const { return max_error_; }

 private:
  absl::Status Wrong(int chip, int word, int lane, double got, double expected) const {
    return absl::InternalError(absl::StrCat("chip", chip, " word ", word, " lane ", lane, " is ",
                                            got, " instead of ", expected));
  }

  absl::Status Copy(int chip, int w, const Lanes& got) const {
    const Lanes expected =
        c_.kind == CollectiveKind::kAllGather   ? Part(w / c_.shard, w % c_.shard)
        : c_.kind == CollectiveKind::kBroadcast ? Part(0, w)
                                                : Part(w / c_.shard, chip * c_.shard + w % c_.shard);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (got[lane] != expected[lane]) return Wrong(chip, w, lane, got[lane], expected[lane]);
    }
    return absl::OkStatus();
  }

  // The first chip against double precision, all others bit for bit against the first.
  absl::Status Sum(int chip, int w, const Lanes& got) {
    if (c_.kind == CollectiveKind::kAllReduce && chip > 0) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const float first = first_[w][lane];
        if (std::bit_cast<uint32_t>(got[lane]) != std::bit_cast<uint32_t>(first)) {
          return Wrong(chip, w, lane, got[lane], first);
        }
      }
      return absl::OkStatus();
    }
    if (c_.kind == CollectiveKind::kAllReduce) first_.push_back(got);
    const int word = c_.kind == CollectiveKind::kAllReduce ? w : chip * c_.shard + w;
    std::array<double, kLanes> sum{}, magnitude{};
    for (int m = 0; m < c_.chips; ++m) {
      const Lanes part = Part(m, word);
      for (int lane = 0; lane < kLanes; ++lane) {
        sum[lane] += double{part[lane]};
        magnitude[lane] += std::abs(double{part[lane]});
      }
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      const double error = std::abs(double{got[lane]} - sum[lane]) / magnitude[lane];
      max_error_ = std::max(max_error_, error);
      // Each of at most `chips` additions rounds once, by 2^-24 of what it made.
      const double bound = lane < kLanes / 2 ? 0 : c_.chips * std::ldexp(1.0, -24);
      if (error > bound) return Wrong(chip, w, lane, got[lane], sum[lane]);
    }
    return absl::OkStatus();
  }

  const FabricCollective& c_;
  const std::vector<std::unique_ptr<FunctionalEngine>>& engines_;
  std::vector<Lanes> first_;  // of chip 0, by word
  uint64_t digest_ = 0;
  double max_error_ = 0;
};

class Watch {
 public:
  // Since construction, or the last call.
  double Lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

template <typename AnyEngine>
absl::Status RunOn(Wiring wiring, const FabricCollective& c,
                   const std::vector<std::unique_ptr<AnyEngine>>& engines, uint64_t* digest) {
  ASSIGN_OR_RETURN(const auto fabric, LocalFabric::Create(std::move(wiring), 1));
  std::vector<Engine*> pointers;
  for (const auto& engine : engines) pointers.push_back(engine.get());
  if (const auto fault = Fleet(fabric.get(), pointers).Run(c.schedules)) {
    return absl::InternalError(fault->ToString());
  }
  std::vector<uint64_t> digests;
  for (const auto& engine : engines) digests.push_back(engine->timing_digest());
  *digest = XXH64(digests.data(), digests.size() * sizeof(digests[0]), 0);
  return absl::OkStatus();
}

absl::Status RunTimed(Wiring wiring, const FabricCollective& c, const ChipTiming& timing,
                      CollectiveOutcome* out) {
  const auto cache = std::make_shared<CheckCache>(timing);
  std::vector<std::unique_ptr<TimingEngine>> engines;
  for (int chip = 0; chip < c.chips; ++chip) {
    engines.push_back(std::make_unique<TimingEngine>(static_cast<uint32_t>(chip), cache));
  }
  return RunOn(std::move(wiring), c, engines, &out->timing_digest);
}

absl::Status RunWithValues(Wiring wiring, const FabricCollective& c, const ChipTiming& timing,
                           CollectiveOutcome* out) {
  std::vector<std::unique_ptr<FunctionalEngine>> engines;
  for (int chip = 0; chip < c.chips; ++chip) {
    engines.push_back(std::make_unique<FunctionalEngine>(static_cast<uint32_t>(chip), timing,
                                                         nullptr, Sram::Pages::kSmall));
    for (int w = 0; w < InputWords(c); ++w) {
      Store(engines.back()->sram(), c.Input(chip, w), Part(chip, w));
    }
  }
  RETURN_IF_ERROR(RunOn(std::move(wiring), c, engines, &out->timing_digest));
  Checker checker(c, engines);
  RETURN_IF_ERROR(checker.Check());
  out->value_digest = checker.digest();
  out->max_error = checker.max_error();
  return absl::OkStatus();
}

}  // namespace

double CollectiveOutcome::Microseconds() const {
  return static_cast<double>(cycles) / (static_cast<double>(LinkRate().clock_hz) / 1e6);
}

double CollectiveOutcome::AlgorithmBandwidth() const {
  return static_cast<double>(bytes) / Microseconds() / 1e3;
}

double CollectiveOutcome::BusBandwidth() const {
  const double others = static_cast<double>(chips - 1) / chips;
  switch (kind) {
    case CollectiveKind::kAllReduce: return AlgorithmBandwidth() * 2 * others;
    case CollectiveKind::kBroadcast: return AlgorithmBandwidth();
    default: return AlgorithmBandwidth() * others;
  }
}

absl::StatusOr<CollectiveOutcome> RunCollective(const Topology& topology,
                                                const CollectiveRequest& request) {
  ASSIGN_OR_RETURN(const LinkModel links, MakeLinks(topology, request.hop_latency));
  ASSIGN_OR_RETURN(const ChipTiming timing, MakeTiming(request.latencies, links));
  CollectiveOutcome out{.kind = request.kind, .topology = topology.name(),
                        .links = links.ToString(), .bytes = request.bytes};
  Watch watch;
  ASSIGN_OR_RETURN(const FabricCollective c,
                   CompileFabricCollective(request.kind, request.bytes, topology, links, timing,
                                           request.algorithm));
  out.compile_seconds = watch.Lap();
  out.algorithm = c.algorithm, out.chips = c.chips, out.programs = c.programs;
  out.padded_bytes = int64_t{c.words} * 4 * kVectorBytes;
  out.sram_bytes = c.sram_bytes, out.cycles = c.cycles;
  ASSIGN_OR_RETURN(Wiring wiring, MakeWiring(topology, c.chips, links, timing));
  ASSIGN_OR_RETURN(const FabricSchedule schedule,
                   VerifyNode(c.schedules, std::vector<int64_t>(c.chips, c.sram_bytes), wiring,
                              timing));
  out.vectors = schedule.vectors();
  out.link_share = static_cast<double>(schedule.UtilisationPpm(c.cycles)) / 1e6;
  out.verify_seconds = watch.Lap();
  RETURN_IF_ERROR(request.engine == EngineKind::kTiming
                      ? RunTimed(std::move(wiring), c, timing, &out)
                      : RunWithValues(std::move(wiring), c, timing, &out));
  out.run_seconds = watch.Lap();
  return out;
}

}  // namespace lockstep
