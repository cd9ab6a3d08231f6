#pragma once
// One attempt at a job: its processes, the pipes they write into, and how it ended. All members are
// called by one thread, which also made it: the guard dies with that thread.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lockstep/v1/job.pb.h"
#include "runtime/jobs/guard.h"

namespace lockstep {

// What `lockstep run --progress` writes before "3/12" on standard error.
inline constexpr char kJobProgressPrefix[] = "lockstep-progress: ";

struct AttemptOptions {
  std::string guard_program;         // path of lockstep-job
  GuardOptions guard;                // parent and verdict_fd are set here
  std::string folder;                // working folder, of this attempt alone
  std::string scratch;               // for temporary files and shared memory
  std::string marker;                // value of kJobMarker: store, job and attempt
  bool stdout_is_text = false;       // of the model; a line feed ends it
};

class Attempt {
 public:
  // Makes both folders, which must not exist, and starts the guard.
  static absl::StatusOr<std::unique_ptr<Attempt>> Start(AttemptOptions options);
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  // Whatever is still there is killed first. Removes `scratch`, not `folder`.
  ~Attempt();

  // To wait on for reading; those that have ended are left out.
  std::vector<int> descriptors() const;
  // Takes what is there without waiting. False: all has been said, and the processes are gone.
  bool Read();
  // Text since the last call, whole characters; progress since, if any came.
  std::string TakeText();
  std::optional<std::pair<int, int>> TakeProgress();
  int64_t output_bytes() const { return output_bytes_; }
  const std::string& standard_error() const { return error_; }

  // Asks for the end; Read will say when it has come.
  void Stop();
  // After Read gave false. nullopt: the command succeeded.
  std::optional<v1::Failure> Judge() const;
  std::optional<v1::HostUse> Used() const;  // nullopt: the guard ended without a verdict

 private:
  explicit Attempt(AttemptOptions options) : options_(std::move(options)) {}
  absl::Status Spawn();
  [[noreturn]] void BecomeGuard(const int* pipe_ends);
  std::vector<std::string> GuardCommand() const;
  void ReadFrom(int which);
  void TakeErrors(absl::string_view bytes);
  void Reap();

  AttemptOptions options_;
  pid_t guard_ = -1;
  int fds_[3] = {-1, -1, -1};  // standard output, standard error, verdict
  std::string text_, partial_error_, error_, verdict_;
  std::optional<std::pair<int, int>> progress_;
  int64_t output_bytes_ = 0;
  int wait_status_ = 0;
};

}  // namespace lockstep
