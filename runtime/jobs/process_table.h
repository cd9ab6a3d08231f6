#pragma once
// Which processes there are, from /proc: those below a process, those of a job, what memory they
// hold. A process of a job carries kJobMarker in its environment, as do all that it starts.

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lockstep {

inline constexpr char kJobMarker[] = "LOCKSTEP_JOB";

// Children of `root`, their children and so on, without zombies. A process whose parent ended counts
// only if `root` has become its parent (PR_SET_CHILD_SUBREAPER).
std::vector<pid_t> DescendantsOf(pid_t root);

// Processes of this user whose kJobMarker begins with `marker`, without zombies and this process.
std::vector<pid_t> MarkedProcesses(absl::string_view marker);

// SIGKILL to all that `list` gives, again and again until it gives nothing. False: some still stood
// after `seconds`. Calls `between` after each round, for reaping; may be empty.
bool KillAll(const std::function<std::vector<pid_t>()>& list, int seconds,
             const std::function<void()>& between);

// Bytes that exist only for these processes: anonymous and shared memory, shared pages in parts.
// Pages of mapped files do not count. Processes that are gone count nothing.
int64_t MemoryOf(const std::vector<pid_t>& processes);

// Sizes of all files below `folder`.
int64_t BytesBelow(const std::string& folder);

}  // namespace lockstep
