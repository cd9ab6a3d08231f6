#pragma once
// The process that stands between the controller and a job's command, so that nothing of the job
// outlives either of them:
//
//   lockstepd --- lockstep-job (this) --- lockstep run --- mpirun --- ranks
//                     |  becomes the parent of every orphan below it
//                     '- kills them all: at a limit, at SIGTERM, when lockstepd ends (the kernel
//                        sends SIGTERM then), and when the command has ended
//
// It ends only when nothing is left below it, and says on one line what happened.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lockstep {

struct GuardOptions {
  int seconds = 0;           // > 0, of the whole attempt
  int64_t memory_bytes = 0;  // > 0, MemoryOf all processes, looked at every 200 ms
  int64_t output_bytes = 0;  // > 0, files below the working folder, and each single file
  pid_t parent = 0;          // whose death ends everything
  std::string stdout_file;   // of the command; empty: this process' own
  int verdict_fd = 3;
  std::vector<std::string> command;  // looked up in PATH; never a shell's
};

// What the command and all that it started took of the host.
struct HostUse {
  int64_t wall_us = 0;
  int64_t cpu_us = 0;         // user and system, of processes that were waited for
  int64_t memory_bytes = 0;   // MemoryOf all at once, the most of the looks
  int64_t process_bytes = 0;  // of one process: its peak resident set, mapped files included
  bool operator==(const HostUse&) const = default;
};

// What became of the command.
struct Verdict {
  enum class Kind : uint8_t {
    kExited,    // value: exit code
    kSignalled,  // value: signal
    kTimeLimit,  // value: seconds
    kMemoryLimit,  // value: bytes seen
    kOutputLimit,  // value: bytes seen
    kStopped,      // by SIGTERM, or the controller ended
    kCannotStart,  // value: errno
  };
  Kind kind = Kind::kExited;
  int64_t value = 0;
  HostUse use = {};
  bool operator==(const Verdict&) const = default;
};

// "exited 0 2000000 1900000 4096 8192\n" (use in its order), and back; nullopt for anything else.
std::string FormatVerdict(const Verdict& verdict);
std::optional<Verdict> ParseVerdict(absl::string_view line);

// Does all of the above; the exit code of the process. REQUIRES: one thread, no children.
int RunGuard(const GuardOptions& options);

}  // namespace lockstep
