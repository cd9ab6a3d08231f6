#pragma once
// The NCCL baseline as users meet it: a collective over sizes on a machine of GPUs, in nccl-tests'
// columns, and how one size comes about. The simulation is fabric/nccl/.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/nccl/baseline.h"
#include "runtime/comparison/gpu_machine_file.h"

namespace lockstep {

// As nccl-tests prints it: us, and 1e9 B/s.
struct BandwidthPoint {
  int64_t bytes = 0;
  double time_us = 0, algbw = 0, busbw = 0;
};
BandwidthPoint MakePoint(nccl::Operation collective, int64_t bytes, int ranks, double time_us);

struct BaselineRow {
  BandwidthPoint point;
  nccl::Choice choice;
};

absl::StatusOr<std::vector<BaselineRow>> RunBaseline(const nccl::Machine& machine,
                                                     const nccl::Options& options,
                                                     nccl::Operation collective, int gpus,
                                                     const std::vector<int64_t>& sizes);

// "Ring/LL 1 channel x 96".
std::string ChoiceText(const nccl::Choice& choice);

// What NCCL weighs, what it chooses, where the time goes, and which figures that rests on.
absl::StatusOr<std::string> ExplainBaseline(const GpuMachine& machine, const nccl::Options& options,
                                            const nccl::Call& call);

}  // namespace lockstep
