#pragma once
// A collective as a user asks for it: compiled, verified as a whole, run on emulated chips, in this
// process or over any transport, values checked where there are values. What `lockstep collective`
// prints.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/topology.h"
#include "fabric/transport.h"
#include "fabric/wiring.h"
#include "runtime/collectives/collective_kind.h"
#include "runtime/collectives/fabric_collective.h"
#include "runtime/run/session.h"

namespace lockstep {

struct CollectiveRequest {
  CollectiveKind kind = CollectiveKind::kAllReduce;
  int64_t bytes = 0;  // of the whole message, as nccl-tests counts
  EngineKind engine = EngineKind::kTiming;
  std::string hop_latency = "B";            // preset of fabric/link_model.h
  std::vector<std::string> latencies = {};  // NAME=VALUE
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::kAuto;
  bool link_table = false;  // whether the outcome has one
};

struct CollectiveOutcome {
  CollectiveKind kind = CollectiveKind::kAllReduce;
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::kTrees;
  std::string topology, links;  // name; LinkModel::ToString()
  int chips = 0, chips_per_node = 0;
  int programs = 0;  // different ones
  int64_t bytes = 0, padded_bytes = 0;
  int64_t vectors = 0;         // over all links
  int64_t sram_bytes = 0;      // of the chip that needs most
  int64_t cycles = 0;          // until the last vector stands in SRAM
  double link_share = 0;       // of all cabled links, busy over those cycles
  uint64_t timing_digest = 0;  // over the chips' digests, in order
  uint64_t value_digest = 0;   // over the results of all chips, in order; 0 without values
  double max_error = 0;        // of a reduction, relative to the sum of magnitudes; functional only
  std::string link_table = {};  // runtime/machine/link_traffic.h
  double compile_seconds = 0, verify_seconds = 0, run_seconds = 0;  // of the host

  double Microseconds() const;
  double AlgorithmBandwidth() const;  // GB/s: bytes / time
  double BusBandwidth() const;        // GB/s: times 2 (n - 1) / n, (n - 1) / n or 1 by kind
};

// Makes what carries the vectors, of the wiring of all chips.
using TransportFactory = std::function<absl::StatusOr<std::unique_ptr<Transport>>(Wiring wiring)>;

// All processes of the transport call it with equal arguments; all get the whole outcome, but for
// the host's seconds. Without a factory: all chips in this process, on one thread. Errors: what
// cannot be compiled; a broken rule, as verification or an engine finds it; a result that differs
// between chips or is wrong (Internal), in every process.
absl::StatusOr<CollectiveOutcome> RunCollective(const Topology& topology,
                                                const CollectiveRequest& request,
                                                const TransportFactory& transport = {});

}  // namespace lockstep
