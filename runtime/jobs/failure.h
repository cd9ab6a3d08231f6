#pragma once
// Why an attempt at a job failed: from the guard's verdict and what the command wrote on standard
// error to a message that a user can act on, and whether trying again may help.

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "lockstep/v1/job.pb.h"
#include "runtime/jobs/guard.h"

namespace lockstep {

// nullopt: the command succeeded. `standard_error` is its end, whole lines. What a signal from
// outside ended is transient; what the program said or a limit decided is not.
std::optional<v1::Failure> JudgeAttempt(const Verdict& verdict, absl::string_view standard_error);

// The guard itself ended without a verdict, by `wait_status` of waitpid.
v1::Failure GuardDied(int wait_status, absl::string_view standard_error);

// `text` as valid UTF-8: what is not becomes U+FFFD.
std::string ToUtf8(absl::string_view text);

// How many bytes at the end of `text` begin a character that is not complete: 0..3.
size_t IncompleteUtf8(absl::string_view text);

}  // namespace lockstep
