#pragma once
// Files of GPU machines: textproto (proto/lockstep/v1/gpu_machine.proto) to nccl::Machine, with the
// origin of every figure. Untrusted like topologies (runtime/files/textproto_file.h).

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fabric/nccl/machine.h"

namespace lockstep {

struct FigureOrigin {
  std::string name;  // "costs.wire_cycles"
  int64_t value = 0;
  std::string source;
  bool calibrated = false;
};

struct GpuMachine {
  nccl::Machine machine;
  std::vector<FigureOrigin> figures;  // in the order of the file's form

  int calibrated() const;  // how many figures are
};

// InvalidArgument: bad text, a figure that is missing or has no source, or out of range.
absl::StatusOr<GpuMachine> ParseGpuMachine(absl::string_view text, absl::string_view file);

// A name such as "dgx-a100", or a path. NotFound lists the names there are.
absl::StatusOr<GpuMachine> LoadGpuMachine(const std::string& name_or_path,
                                          const std::string& search_dir);
std::vector<std::string> KnownGpuMachines(const std::string& search_dir);

}  // namespace lockstep
