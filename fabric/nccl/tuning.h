#pragma once
// NCCL's own choice of algorithm and protocol for one node: its model of latency and bandwidth by
// version (src/graph/tuning.cc), then channels and threads by size (src/enqueue.cc). The model selects;
// it does not predict: times come from fabric/nccl/flow.h.
//
//   time_us = latency_us + bytes / (1000 * GB/s)       smallest wins, ties keep the earlier

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/nccl/call.h"
#include "fabric/nccl/machine.h"

namespace lockstep::nccl {

struct Candidate {
  Algorithm algorithm;
  Protocol protocol;
  double latency_us;
  double gb_per_s;  // algorithm bandwidth
  double time_us;   // of the call, as NCCL's model has it
};

// What NCCL weighs for a call, in its order. Empty for all-to-all and sendrecv, which are grouped
// point-to-point and never tuned.
std::vector<Candidate> Candidates(const Machine& machine, Version version, const Call& call);

// What the user forces, as NCCL_ALGO and NCCL_PROTO do.
struct Forced {
  std::optional<Algorithm> algorithm;
  std::optional<Protocol> protocol;
};

struct Choice {
  Algorithm algorithm;
  Protocol protocol;
  int channels = 1;  // thread blocks a GPU that take part
  int threads = 0;   // of each that move data
};

// InvalidArgument: what is forced does not exist for this call on this machine and version.
absl::StatusOr<Choice> Choose(const Machine& machine, Version version, const Call& call,
                              const Forced& forced = {});

// Channels and threads that a call of this size gets: all of them only from
// channels * threads * threshold bytes.
Choice Scale(const Machine& machine, const Call& call, Algorithm algorithm, Protocol protocol);

}  // namespace lockstep::nccl
