#pragma once
// Exit codes of all executables: 0 done, 1 an error of the world, 2 wrong usage.

#include "absl/status/status.h"
#include "absl/strings/cord.h"

namespace lockstep {

inline constexpr char kUsagePayload[] = "lockstep/usage";

// Marks an error as one of the command line.
inline absl::Status AsUsage(absl::Status status) {
  if (!status.ok()) status.SetPayload(kUsagePayload, absl::Cord("1"));
  return status;
}

inline int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  return status.GetPayload(kUsagePayload) ? 2 : 1;
}

}  // namespace lockstep
