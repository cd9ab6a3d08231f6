#pragma once
// Simulated against measured times: the error by band of sizes, and the ablation, which says how
// large it gets without each mechanism of the model.

#include <array>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/nccl/baseline.h"
#include "runtime/comparison/gpu_machine_file.h"
#include "runtime/comparison/nccl_log.h"

namespace lockstep {

inline constexpr int kBands = 5;  // <= 1 KB, 2-64 KB, 128 KB-1 MB, 2-32 MB, >= 64 MB

// Mean of |simulated / measured - 1| in percent, by band; negative where the log has no row.
struct BandErrors {
  std::array<double, kBands> band{};
  double all = 0;
};

struct CalibrationRow {
  MeasuredTime measured;
  double simulated_us = 0;
  nccl::Choice choice;
};

absl::StatusOr<std::vector<CalibrationRow>> Calibrate(const nccl::Machine& machine,
                                                      const nccl::Options& options,
                                                      nccl::Operation collective, int gpus,
                                                      const std::vector<MeasuredTime>& log);
BandErrors ErrorsByBand(const std::vector<CalibrationRow>& rows);

// Both, a table of each, the ablation and the machine's constants.
absl::StatusOr<std::string> CalibrationReport(const GpuMachine& machine,
                                              const nccl::Options& options,
                                              nccl::Operation collective, int gpus,
                                              const std::vector<MeasuredTime>& log);

}  // namespace lockstep
