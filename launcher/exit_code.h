#pragma once
// Exit codes of all executables. docs/controller.md lists them for users.

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lockstep {

inline constexpr int kExitError = 1;        // an error of the world, or a refusal of the controller
inline constexpr int kExitUsage = 2;        // wrong flags
inline constexpr int kExitJobFailed = 3;    // the job that was waited for ended in FAILED
inline constexpr int kExitCancelled = 4;    // ... in CANCELLED
inline constexpr int kExitUnreachable = 5;  // no answer from the controller

inline constexpr char kExitPayload[] = "lockstep/exit";

inline absl::Status WithExitCode(absl::Status status, int code) {
  if (!status.ok()) status.SetPayload(kExitPayload, absl::Cord(absl::StrCat(code)));
  return status;
}

// Marks an error as one of the command line.
inline absl::Status AsUsage(absl::Status status) {
  return WithExitCode(std::move(status), kExitUsage);
}

inline int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  int code = kExitError;
  if (const auto payload = status.GetPayload(kExitPayload)) {
    (void)absl::SimpleAtoi(std::string(*payload), &code);
  }
  return code;
}

}  // namespace lockstep
