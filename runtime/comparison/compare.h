#pragma once
// A collective of a node of chips beside the same one on GPUs under NCCL, by message size, in
// nccl-tests' columns.
//
// Our side is executed: compiled, verified, run on emulated chips by the timing engine; small
// messages with values too, which are checked. A message beyond kRoundBytes goes in rounds of that
// size and a rest. A round begins and ends with idle links and all results in SRAM, so equal rounds
// take equal times: each kind is executed once and counted as often as it occurs. What a round
// sends stands in SRAM when it begins; how it came there is not part of the collective.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/topology.h"
#include "runtime/collectives/collective_run.h"
#include "runtime/comparison/baseline.h"

namespace lockstep {

inline constexpr int64_t kRoundBytes = int64_t{32} << 20;

struct LockstepPoint {
  BandwidthPoint point;
  int64_t rounds = 1;
  bool values_checked = false;
};

struct ComparedSize {
  std::optional<LockstepPoint> lockstep;  // absent: the baseline alone
  BaselineRow baseline;
};

// One collective by size.
struct Comparison {
  nccl::Operation collective = nccl::Operation::kAllReduce;
  std::vector<ComparedSize> rows;
};

// Runs collectives on one topology; remembers times by size.
class LockstepSide {
 public:
  // Values are checked up to `checked_bytes`. REQUIRES: topology outlives this; round_bytes >= 1.
  LockstepSide(const Topology& topology, nccl::Operation collective, int64_t checked_bytes,
               int64_t round_bytes = kRoundBytes)
      : topology_(topology),
        collective_(collective),
        checked_bytes_(checked_bytes),
        round_bytes_(round_bytes) {}

  // Errors: what RunCollective refuses.
  absl::StatusOr<LockstepPoint> Run(int64_t bytes);

 private:
  absl::StatusOr<double> TimeUs(int64_t bytes, bool with_values);

  const Topology& topology_;
  const nccl::Operation collective_;
  const int64_t checked_bytes_, round_bytes_;
  std::map<int64_t, double> time_us_;
};

// Raw rate of a chip's links each way, GB/s.
double ChannelGbPerS(const Topology& topology);

// Both sides' channel bandwidth, GB/s each way.
struct Channels {
  double lockstep = 0, baseline = 0;
};

// size, then time, algbw and busbw of each side; with both: busbw ours / theirs, the same per
// channel bandwidth, and the share of its channels that each uses.
std::string CompareTable(nccl::Operation collective, const std::vector<ComparedSize>& rows,
                         const Channels& channels);

// Where the curves cross, and what "three times the channel bandwidth" means. REQUIRES: both sides.
std::string CompareSummary(const std::vector<ComparedSize>& rows, const Channels& channels);

// One line a collective and size under the header
//   collective,bytes,lockstep_time_us,lockstep_algbw_GBps,lockstep_busbw_GBps,
//   baseline_time_us,baseline_algbw_GBps,baseline_busbw_GBps
// (one line); fields of an absent side are empty.
std::string CompareCsv(const std::vector<Comparison>& comparisons);

}  // namespace lockstep
