#pragma once
// A collective of a node of chips beside the same one on GPUs under NCCL, by message size, in
// nccl-tests' columns.

#include <optional>
#include <string>
#include <vector>

#include "runtime/baseline.h"

namespace lockstep {

struct ComparedSize {
  std::optional<BandwidthPoint> lockstep;  // absent: the baseline alone
  BaselineRow baseline;
};

// size, then time, algbw and busbw of each side.
std::string CompareTable(nccl::Operation collective, const std::vector<ComparedSize>& rows);

// One line a size under the header
//   collective,bytes,lockstep_time_us,lockstep_algbw_GBps,lockstep_busbw_GBps,
//   baseline_time_us,baseline_algbw_GBps,baseline_busbw_GBps
// (one line); fields of an absent side are empty.
std::string CompareCsv(nccl::Operation collective, const std::vector<ComparedSize>& rows);

}  // namespace lockstep
