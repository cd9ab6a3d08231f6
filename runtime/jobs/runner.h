#pragma once
// Runs what the store has queued: one thread that starts attempts, reads what they say, and brings
// each job to its end. Jobs start in the order in which they came, side by side while their cores
// and memory fit beside what runs. One that does not fit yet lets later ones that do pass it, but
// only so many: then the host is kept for it until it fits.
//
// A controller that was killed leaves marked processes and jobs that say RUNNING: the next one first
// kills the former, then queues the latter again, so no job runs twice at once. Text of a second
// attempt must repeat the first's; it is not told twice.
//
//   state folder:  jobs.sqlite   jobs/j17/1.running/   an attempt at work
//                                jobs/j17/1/           its files, whole, once the store says so

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "runtime/jobs/attempt.h"
#include "runtime/jobs/request.h"
#include "runtime/jobs/store.h"

namespace lockstep {

// May change while jobs run; what runs already keeps what it was started with.
struct RunnerPolicy {
  JobRoots roots;
  HostLimits limits;
  int max_failed_attempts = 3;  // transient failures after which a job fails
  int max_interruptions = 20;   // attempts lost with the controller after which a job fails
  int max_overtakes = 8;        // later jobs that may start before one that does not fit yet
  bool hold = false;            // start nothing
};

struct RunnerOptions {
  std::string state_folder;
  std::string scratch_folder;    // of this store alone: temporary files of attempts
  std::string lockstep_program;  // `lockstep`
  std::string guard_program;     // `lockstep-job`
};

// Told of what happens, on the runner's thread.
class RunnerListener {
 public:
  virtual ~RunnerListener() = default;
  virtual void OnStart(const v1::Job& job) = 0;
  // An attempt failed, and the job is queued again.
  virtual void OnRetry(const v1::Job& job, const v1::Failure& why) = 0;
  virtual void OnEnd(const v1::Job& job) = 0;
};

class Runner {
 public:
  // Recovers, then runs until Stop. `store` and `listener` outlive it.
  static absl::StatusOr<std::unique_ptr<Runner>> Start(const RunnerOptions& options,
                                                       const RunnerPolicy& policy,
                                                       JobStore* store, RunnerListener* listener);
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner();  // Stop

  // Ends all attempts, queues their jobs again, and returns when nothing of them is left.
  void Stop();
  void SetPolicy(const RunnerPolicy& policy);
  RunnerPolicy policy() const;

  // A job was submitted, or its cancelling was asked for.
  void Added(JobNumber job, const v1::Needs& needs);
  void CancelRequested(JobNumber job);
  // The store has forgotten the job: its files follow.
  void Deleted(JobNumber job);
  std::string JobFolder(JobNumber job) const;

 private:
  struct Waiting {
    JobNumber job;
    v1::Needs needs;
    int overtaken = 0;  // by later jobs
  };
  struct Running;

  Runner(const RunnerOptions& options, const RunnerPolicy& policy, JobStore* store,
         RunnerListener* listener);
  absl::Status Recover();
  void RemoveLeftFolders();
  void Loop();
  void TakeInbox();
  void StartWhatFits(const RunnerPolicy& policy);
  v1::Needs InUse() const;
  absl::Status StartJob(const Waiting& waiting, const RunnerPolicy& policy);
  absl::Status Launch(const v1::Job& job, const PreparedJob& prepared,
                      const RunnerPolicy& policy);
  void Wait();
  void Advance(Running& running);
  absl::Status Publish(Running& running, bool all);
  absl::Status Conclude(Running& running, const RunnerPolicy& policy);
  absl::Status End(Running& running, v1::JobState state, const v1::Failure* why);
  absl::StatusOr<std::vector<StoredArtifact>> Collect(const Running& running);
  void FailUnstarted(JobNumber job, const absl::Status& why);

  const RunnerOptions options_;
  JobStore* const store_;
  RunnerListener* const listener_;
  int wake_fd_ = -1;

  mutable std::mutex mutex_;  // guards policy_, inbox_, cancels_, stop_
  RunnerPolicy policy_;
  std::vector<Waiting> inbox_;
  std::vector<JobNumber> cancels_;
  bool stop_ = false;

  // The thread's own.
  std::deque<Waiting> waiting_;
  std::map<JobNumber, std::unique_ptr<Running>> running_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lockstep
