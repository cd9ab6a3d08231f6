// One collective from request to checked result (runtime/collectives/collective_run.h).
#include "runtime/collectives/collective_run.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/functional.h"
#include "chip/timing.h"
#include "fabric/agreement.h"
#include "fabric/fleet.h"
#include "fabric/local_fabric.h"
#include "runtime/machine/link_traffic.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/verify.h"

namespace lockstep {
namespace {

using Lanes = std::array<float, kLanes>;

bool Reduces(CollectiveKind kind) {
  return kind == CollectiveKind::kAllReduce || kind == CollectiveKind::kReduceScatter;
}

// What a chip contributes. The lower half of the lanes are multiples of 1/256 in [-1, 1), whose
// sums over all chips there can be are exact whatever the order; the upper half use all 24 bits.
Lanes Part(int chip, int word) {
  Lanes out;
  uint32_t x =
      static_cast<uint32_t>(chip) * 2654435761u ^ static_cast<uint32_t>(word) * 2246822519u;
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

// Results of one chip against their definition.
class Checker {
 public:
  explicit Checker(const FabricCollective& c) : c_(c) {}

  // Every word, or for an all-reduce, whose results are compared between chips by their digests,
  // only where `in_full` says so.
  absl::Status Check(int chip, const Sram& sram, bool in_full) {
    digest_ = 0;
    for (int w = 0; w < OutputWords(c_); ++w) {
      const Lanes got = Load(sram, c_.Output(chip, w));
      digest_ = XXH64(got.data(), sizeof(got), digest_);
      if (c_.kind == CollectiveKind::kAllReduce && !in_full) continue;
      RETURN_IF_ERROR(Reduces(c_.kind) ? Sum(chip, w, got) : Copy(chip, w, got));
    }
    return absl::OkStatus();
  }
  uint64_t digest() const { return digest_; }  // of the chip checked last
  double max_error() const { return max_error_; }

 private:
  absl::Status Wrong(int chip, int word, int lane, double got, double expected) const {
    return absl::InternalError(absl::StrCat("chip", chip, " word ", word, " lane ", lane, " is ",
                                            got, " instead of ", expected));
  }

  // What a kind without sums brings to word w of `chip`.
  Lanes Source(int chip, int w) const {
    switch (c_.kind) {
      case CollectiveKind::kAllGather:
        return Part(w / c_.shard, w % c_.shard);
      case CollectiveKind::kBroadcast:
        return Part(0, w);
      case CollectiveKind::kSendRecv:
        return Part((chip + c_.chips - 1) % c_.chips, w);
      default:
        return Part(w / c_.shard, chip * c_.shard + w % c_.shard);
    }
  }

  absl::Status Copy(int chip, int w, const Lanes& got) const {
    const Lanes expected = Source(chip, w);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (got[lane] != expected[lane]) return Wrong(chip, w, lane, got[lane], expected[lane]);
    }
    return absl::OkStatus();
  }

  absl::Status Sum(int chip, int w, const Lanes& got) {
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

std::string AsBytes(const std::vector<uint64_t>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0])};
}

// By chip, from the values of each process's chips.
std::vector<uint64_t> AllChips(Transport& transport, const std::vector<uint64_t>& mine) {
  std::vector<uint64_t> all;
  for (const std::string& part : AllGather(transport, AsBytes(mine))) {
    const size_t at = all.size();
    all.resize(at + part.size() / sizeof(all[0]));
    std::memcpy(all.data() + at, part.data(), part.size());
  }
  return all;
}

uint64_t DigestOf(const std::vector<uint64_t>& values) {
  return XXH64(values.data(), values.size() * sizeof(values[0]), 0);
}

template <typename AnyEngine>
absl::Status RunOn(Transport& transport, const FabricCollective& c,
                   const std::vector<std::unique_ptr<AnyEngine>>& engines, uint64_t* digest) {
  std::vector<Engine*> pointers;
  std::vector<std::shared_ptr<const Schedule>> schedules;
  for (size_t i = 0; i < engines.size(); ++i) {
    pointers.push_back(engines[i].get());
    schedules.push_back(c.schedules[transport.chips()[i]]);
  }
  if (const auto fault = Fleet(&transport, pointers).Run(schedules)) {
    return absl::InternalError(fault->ToString());
  }
  std::vector<uint64_t> mine;
  for (const auto& engine : engines) mine.push_back(engine->timing_digest());
  *digest = DigestOf(AllChips(transport, mine));
  return absl::OkStatus();
}

absl::Status RunTimed(Transport& transport, const FabricCollective& c, const ChipTiming& timing,
                      CollectiveOutcome* out) {
  const auto cache = std::make_shared<CheckCache>(timing);
  std::vector<std::unique_ptr<TimingEngine>> engines;
  for (uint32_t chip : transport.chips()) {
    engines.push_back(std::make_unique<TimingEngine>(chip, cache));
  }
  return RunOn(transport, c, engines, &out->timing_digest);
}

// All processes give up together, with the error of the lowest chip.
absl::Status Agree(Transport& transport, const absl::Status& mine) {
  for (const std::string& text : AllGather(transport, mine.message())) {
    if (!text.empty()) return absl::InternalError(text);
  }
  return absl::OkStatus();
}

absl::Status CheckValues(Transport& transport, const FabricCollective& c,
                         const std::vector<std::unique_ptr<FunctionalEngine>>& engines,
                         CollectiveOutcome* out) {
  Checker checker(c);
  std::vector<uint64_t> mine;
  absl::Status status;
  for (size_t i = 0; i < engines.size() && status.ok(); ++i) {
    const int chip = static_cast<int>(transport.chips()[i]);
    status = checker.Check(chip, engines[i]->sram(), i == 0);
    mine.push_back(checker.digest());
  }
  RETURN_IF_ERROR(Agree(transport, status));
  const std::vector<uint64_t> all = AllChips(transport, mine);
  for (size_t chip = 0; c.kind == CollectiveKind::kAllReduce && chip < all.size(); ++chip) {
    if (all[chip] == all[0]) continue;
    return absl::InternalError(absl::StrCat("the sums of chip", chip, " differ from chip0's"));
  }
  out->value_digest = DigestOf(all);
  std::vector<uint64_t> error = {std::bit_cast<uint64_t>(checker.max_error())};
  for (uint64_t bits : AllChips(transport, error)) {
    out->max_error = std::max(out->max_error, std::bit_cast<double>(bits));
  }
  return absl::OkStatus();
}

absl::Status RunWithValues(Transport& transport, const FabricCollective& c,
                           const ChipTiming& timing, CollectiveOutcome* out) {
  std::vector<std::unique_ptr<FunctionalEngine>> engines;
  for (uint32_t chip : transport.chips()) {
    engines.push_back(
        std::make_unique<FunctionalEngine>(chip, timing, nullptr, Sram::Pages::kSmall));
    for (int w = 0; w < InputWords(c); ++w) {
      const int id = static_cast<int>(chip);
      Store(engines.back()->sram(), c.Input(id, w), Part(id, w));
    }
  }
  RETURN_IF_ERROR(RunOn(transport, c, engines, &out->timing_digest));
  return CheckValues(transport, c, engines, out);
}

std::string LinkTable(const Wiring& wiring, const FabricSchedule& schedule, int64_t cycles) {
  std::vector<LinkTraffic> traffic;
  for (const LinkUse& use : schedule.links()) {
    const Wire& wire = wiring.wires()[use.wire];
    traffic.push_back({wire.from_chip, wire.from_link, wire.to_chip, use.vectors});
  }
  return LinkTrafficCsv(wiring, traffic, cycles);
}

absl::StatusOr<std::unique_ptr<Transport>> InThisProcess(Wiring wiring) {
  return LocalFabric::Create(std::move(wiring), 1);
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
    case CollectiveKind::kAllReduce:
      return AlgorithmBandwidth() * 2 * others;
    case CollectiveKind::kBroadcast:
    case CollectiveKind::kSendRecv:
      return AlgorithmBandwidth();
    default:
      return AlgorithmBandwidth() * others;
  }
}

absl::StatusOr<CollectiveOutcome> RunCollective(const Topology& topology,
                                                const CollectiveRequest& request,
                                                const TransportFactory& transport) {
  ASSIGN_OR_RETURN(const LinkModel links, MakeLinks(topology, request.hop_latency));
  ASSIGN_OR_RETURN(const ChipTiming timing, MakeTiming(request.latencies, links));
  CollectiveOutcome out{.kind = request.kind,
                        .topology = topology.name(),
                        .links = links.ToString(),
                        .bytes = request.bytes};
  Watch watch;
  ASSIGN_OR_RETURN(const FabricCollective c,
                   CompileFabricCollective(request.kind, request.bytes, topology, links, timing,
                                           request.algorithm));
  out.compile_seconds = watch.Lap();
  out.algorithm = c.algorithm, out.chips = c.chips, out.programs = c.programs;
  out.chips_per_node = topology.chips_per_node();
  out.padded_bytes = int64_t{c.words} * 4 * kVectorBytes;
  out.sram_bytes = c.sram_bytes, out.cycles = c.cycles;
  ASSIGN_OR_RETURN(Wiring wiring, MakeWiring(topology, c.chips, links, timing));
  ASSIGN_OR_RETURN(
      const FabricSchedule schedule,
      VerifyNode(c.schedules, std::vector<int64_t>(c.chips, c.sram_bytes), wiring, timing));
  out.vectors = schedule.vectors();
  out.link_share = static_cast<double>(schedule.UtilisationPpm(c.cycles)) / 1e6;
  if (request.link_table) out.link_table = LinkTable(wiring, schedule, c.cycles);
  out.verify_seconds = watch.Lap();
  ASSIGN_OR_RETURN(const std::unique_ptr<Transport> carrier,
                   transport ? transport(std::move(wiring)) : InThisProcess(std::move(wiring)));
  RETURN_IF_ERROR(request.engine == EngineKind::kTiming ? RunTimed(*carrier, c, timing, &out)
                                                        : RunWithValues(*carrier, c, timing, &out));
  out.run_seconds = watch.Lap();
  return out;
}

}  // namespace lockstep
