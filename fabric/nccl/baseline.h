#pragma once
// One call of NCCL on a machine, simulated: what it chooses, how long it takes as nccl-tests measures
// it, and where the time goes.

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/nccl/call.h"
#include "fabric/nccl/chunks.h"
#include "fabric/nccl/flow.h"
#include "fabric/nccl/machine.h"
#include "fabric/nccl/tuning.h"

namespace lockstep::nccl {

// How the measured program starts kernels. A property of the measurement, not of the machine.
enum class LaunchMode : uint8_t {
  kProcessPerGpu,  // mpirun, -g 1: hosts run ahead of the GPUs
  kSerial,         // one process, -g N: its host starts the kernels of all GPUs one after the other
};

inline constexpr int64_t kMostBytes = int64_t{16} << 30;
// LL and LL128 cut a message into so many units that larger ones are only simulated by Simple; NCCL
// itself never chooses them there.
inline constexpr int64_t kMostLineBytes = int64_t{256} << 20;

struct Options {
  std::optional<Version> version;  // else the machine's
  LaunchMode launch = LaunchMode::kProcessPerGpu;
  Forced forced;
  Mechanisms mechanisms;
};

struct Outcome {
  Choice choice;
  std::vector<Candidate> candidates;
  int64_t time_ps = 0;    // of one call among many back to back, as nccl-tests prints it
  int64_t kernel_ps = 0;  // without the host's part: equal but for LaunchMode::kSerial
  int64_t host_ps = 0;    // the host's launches (kSerial)
  int64_t bytes = 0;      // moved: whole elements (WholeElements)
  int launches = 0;       // back to back, simulated
  int64_t events = 0;
  Breakdown critical;     // of kernel_ps
};

// InvalidArgument: ranks not 2..machine.gpus, bytes not 1..kMostBytes, something forced that does
// not exist or is not simulated (kMostLineBytes), a launch mode that the machine says nothing of.
absl::StatusOr<Outcome> Simulate(const Machine& machine, const Options& options, const Call& call);

}  // namespace lockstep::nccl
