// NCCL's tables and rules, versions 2.8 to 2.30, for ranks of one node.
// Origin of every figure: NVIDIA/nccl, src/graph/tuning.cc of the tags v2.8.4-1 ... v2.30.7-1;
// threads and thresholds: src/enqueue.cc.
#include "fabric/nccl/tuning.h"

#include <algorithm>
#include <array>
#include <bit>

#include "absl/strings/str_cat.h"

namespace lockstep::nccl {
namespace {

using ByProtocol = std::array<double, 3>;  // LL, LL128, Simple

struct Latencies {
  ByProtocol tree_base, ring_base, tree_hop, ring_hop;  // us
};

Latencies LatenciesOf(Version v, Interconnect interconnect) {
  const bool pci = interconnect == Interconnect::kPci;
  Latencies l{{6.8, 14, v.AtLeast(23) ? 8.4 : 0},
              {6.6, 14, 8.4},
              pci ? ByProtocol{1.0, 1.9, 28} : ByProtocol{.6, 1.25, 28},
              pci ? ByProtocol{1.0, 2.5, 5.7} : ByProtocol{.6, 1.9, 3.4}};
  if (!v.AtLeast(18)) {
    l.tree_base = {4.4, 4.4, 0};
    l.ring_base = {3.6, 10, 8.4};
    if (!pci) l.tree_hop[0] = .52, l.ring_hop[0] = .47;
  } else if (v.AtLeast(23)) {
    l.tree_hop[2] = 4;
  } else if (v.AtLeast(18, 3) && !v.AtLeast(19)) {
    l.tree_hop[2] = pci ? 6 : 4;
  }
  return l;
}

// Caps of one node by generation, GB/s.
struct Caps {
  double ll_max, ring_ll128, tree_ll128, tree;
};

Caps CapsOf(Version v, Generation generation) {
  switch (generation) {
    case Generation::kVolta: return {39, 20, 20, 26.5};
    case Generation::kAmpere: return {87.7, 20, 20, 24};
    case Generation::kHopper:
      return {v.AtLeast(21) ? 141.0 : 87.7, 36.7, 36.7, v.AtLeast(17) ? 38.7 : 24};
    case Generation::kBlackwell: return {282, 40, 55.6, 70};
  }
  return {39, 20, 20, 24};
}

// v2.8 capped Ring/LL128 by collective, GB/s a channel.
double OldRingLl128(Operation operation) {
  switch (operation) {
    case Operation::kBroadcast: return 18.8;
    case Operation::kAllGather: return 18.3;
    case Operation::kReduceScatter: return 15.2;
    default: return 16.9;
  }
}

// By log2(bytes / 64), 64 B to 256 MB.
constexpr int kNvlsThreads = 512;
constexpr int kCorrections = 23;
constexpr std::array<std::array<double, kCorrections>, 3> kTreeCorrection = {{
    {1, 1, 1, 1, .9, .8, .7, .7, .7, .7, .6, .5, .4, .4, .5, .6, .7, .8, .9, 1, 1, 1, 1},
    {1, 1, 1, 1, 1, .9, .8, .8, .8, .7, .6, .6, .6, .6, .6, .6, .8, .9, .9, .9, .9, 1, 1},
    {.9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5, .5, .5, .5, .6, .7, .8, .7, .7, .8, .9, .9},
}};

double TreeCorrection(Protocol protocol, int64_t bytes) {
  int log = 0;
  for (int64_t b = bytes / 64; b > 1 && log < kCorrections; b /= 2) ++log;
  return log < kCorrections ? kTreeCorrection[static_cast<size_t>(protocol)][log] : 1;
}

class Model {
 public:
  Model(const Machine& m, Version v, const Call& call)
      : machine_(m), version_(v), call_(call), caps_(CapsOf(v, m.generation)),
        latencies_(LatenciesOf(v, m.interconnect)), channels_(m.search_channels),
        bus_(channels_ * m.channel_mb_per_s / 1e3) {
    if (m.generation == Generation::kAmpere && !v.AtLeast(18)) bus_ = std::min(bus_, 235.0);
  }

  std::vector<Candidate> All() const {
    std::vector<Candidate> all;
    for (Algorithm a : {Algorithm::kTree, Algorithm::kRing, Algorithm::kNvls}) {
      if (!Exists(a)) continue;
      for (Protocol p : {Protocol::kLl, Protocol::kLl128, Protocol::kSimple}) {
        if (a == Algorithm::kNvls && p != Protocol::kSimple) continue;
        if (p == Protocol::kLl128 && machine_.interconnect == Interconnect::kPci) continue;
        Candidate c{a, p, Latency(a, p), Bandwidth(a, p), 0};
        c.time_us = c.latency_us + static_cast<double>(call_.bytes) / (1000 * c.gb_per_s);
        all.push_back(c);
      }
    }
    return all;
  }

 private:
  bool reduces() const { return call_.operation == Operation::kAllReduce; }

  bool Exists(Algorithm a) const {
    switch (a) {
      case Algorithm::kTree: return reduces();
      case Algorithm::kRing: return true;
      // Two ranks gain nothing from the switch and are left to rings.
      case Algorithm::kNvls:
        return machine_.nvls_channels > 0 && version_.AtLeast(17) && call_.ranks > 2 &&
               call_.operation != Operation::kBroadcast;
      case Algorithm::kPointToPoint: return false;
    }
    return false;
  }

  double RingSteps() const {  // nsteps of the source
    if (reduces()) return 2.0 * (call_.ranks - 1);
    return call_.operation == Operation::kBroadcast ? call_.ranks : call_.ranks - 1;
  }

  double Latency(Algorithm a, Protocol p) const {
    const auto i = static_cast<size_t>(p);
    if (a == Algorithm::kNvls) {
      return version_.AtLeast(21) ? 25 : version_.AtLeast(18) ? 23 : 40;
    }
    if (a == Algorithm::kTree) {
      return latencies_.tree_base[i] + 2 * (call_.ranks - 1) * latencies_.tree_hop[i];
    }
    // Broadcast along one and the same ring in all channels counts one hop.
    const double hops = call_.operation == Operation::kBroadcast ? 1 : RingSteps();
    return latencies_.ring_base[i] + hops * latencies_.ring_hop[i];
  }

  double Bandwidth(Algorithm a, Protocol p) const {
    const double n = call_.ranks;
    if (a == Algorithm::kNvls) return NvlsBandwidth();
    if (a == Algorithm::kTree) return TreeBus(p) * TreeCorrection(p, call_.bytes) / 2;
    return RingBus(p) * n / RingSteps();
  }

  double RingBus(Protocol p) const {
    if (p == Protocol::kSimple) return bus_;
    if (p == Protocol::kLl) {
      const double share = version_.AtLeast(21) ? 1 / 2.0 : reduces() ? 1 / 4.0 : 1 / 3.0;
      return std::min(caps_.ll_max, bus_ * share);
    }
    const double cap = version_.AtLeast(9) ? caps_.ring_ll128 : OldRingLl128(call_.operation);
    return std::min(.92 * bus_, channels_ * cap);
  }

  double TreeBus(Protocol p) const {
    double tree = std::min(.92 * bus_, channels_ * caps_.tree);
    if (version_.AtLeast(18)) tree *= .85;
    if (p == Protocol::kSimple) return tree;
    if (p == Protocol::kLl) return std::min(tree / 3.8, caps_.ll_max);
    return std::min(tree * 7 / 9, channels_ * caps_.tree_ll128);
  }

  double NvlsBandwidth() const {
    const double n = call_.ranks, bus = n * machine_.nvls_heads_mb_per_s / 1e3;
    if (!version_.AtLeast(28)) return bus * (version_.AtLeast(18) ? 5 / 6.0 : 3 / 4.0);
    const double efficiency = machine_.generation == Generation::kBlackwell ? .74 : .85;
    const double base = bus * efficiency * (n - 1) / n;
    return reduces() ? base * 2 * n / RingSteps() : base * (n - 1) / n;
  }

  const Machine& machine_;
  const Version version_;
  const Call call_;
  const Caps caps_;
  const Latencies latencies_;
  const int channels_;
  double bus_;  // GB/s
};

}  // namespace

std::vector<Candidate> Candidates(const Machine& machine, Version version, const Call& call) {
  if (call.operation == Operation::kAllToAll || call.operation == Operation::kSendRecv) return {};
  return Model(machine, version, call).All();
}

Choice Scale(const Machine& machine, const Call& call, Algorithm algorithm, Protocol protocol) {
  if (algorithm == Algorithm::kNvls) return {algorithm, protocol, machine.nvls_channels, kNvlsThreads};
  Choice choice{algorithm, protocol, machine.channels, 512};
  int64_t threshold = 64;  // bytes a thread
  if (protocol == Protocol::kLl128) choice.threads = 640, threshold = 8;
  if (protocol == Protocol::kLl) {
    threshold = algorithm == Algorithm::kRing ? int64_t{8} * call.ranks : 8;
  }
  if (protocol == Protocol::kSimple && machine.interconnect == Interconnect::kPci) {
    choice.threads = 256;
  }
  while (call.bytes < choice.channels * choice.threads * threshold) {
    if (choice.channels >= 2) {
      --choice.channels;
    } else if (choice.threads % 128 == 0) {
      choice.threads /= 2;
    } else {
      break;
    }
  }
  choice.threads = std::max(choice.threads, 96);
  return choice;
}

absl::StatusOr<Choice> Choose(const Machine& machine, Version version, const Call& call,
                              const Forced& forced) {
  const std::vector<Candidate> candidates = Candidates(machine, version, call);
  if (candidates.empty()) {
    if (forced.algorithm || forced.protocol) {
      return absl::InvalidArgumentError(absl::StrCat(
          Name(call.operation), " is point-to-point: NCCL chooses no algorithm or protocol for it"));
    }
    // src/enqueue.cc: messages of up to 16 KiB a peer go by LL.
    const int64_t part =
        call.operation == Operation::kAllToAll ? call.bytes / call.ranks : call.bytes;
    // All channels, rounded up to a power of two (src/graph/paths.cc).
    return Choice{Algorithm::kPointToPoint, part <= 16384 ? Protocol::kLl : Protocol::kSimple,
                  static_cast<int>(std::bit_ceil(static_cast<unsigned>(machine.channels))), 512};
  }
  const Candidate* best = nullptr;
  for (const Candidate& c : candidates) {
    if (forced.algorithm && c.algorithm != *forced.algorithm) continue;
    if (forced.protocol && c.protocol != *forced.protocol) continue;
    if (best == nullptr || c.time_us < best->time_us) best = &c;
  }
  if (best == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        forced.algorithm ? Name(*forced.algorithm) : "any algorithm", " with ",
        forced.protocol ? Name(*forced.protocol) : "any protocol", " is not among what NCCL ",
        version.ToString(), " has for ", Name(call.operation), " of ", call.ranks, " GPUs on ",
        machine.name));
  }
  return Scale(machine, call, best->algorithm, best->protocol);
}

}  // namespace lockstep::nccl
