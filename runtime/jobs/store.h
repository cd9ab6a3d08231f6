#pragma once
// The jobs that were accepted, their events and the index of their artifacts, in one SQLite file.
//
//            Submit                Start               Finish
//   (nothing) -----> QUEUED ----------------> RUNNING --------> SUCCEEDED | FAILED | CANCELLED
//                      |  ^-------- Requeue ------'                  |
//                      '--- RequestCancel ---> CANCELLED             '-- Delete --> (nothing)
//
// Each arrow is one transaction with its event, so a reader never sees a state without its history.
// Whoever calls a transition that the picture does not have gets FailedPrecondition. Submissions
// and states are on disk when a call returns; text and progress survive the process' death, and a
// loss of power may take the last of them. Thread-safe.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lockstep/v1/job.pb.h"
#include "runtime/jobs/database.h"

namespace lockstep {

using JobNumber = int64_t;  // counts from 1; never used twice in one store

// "j17", and back; nullopt for anything else.
std::string JobId(JobNumber job);
std::optional<JobNumber> ParseJobId(absl::string_view id);

// "generate", "plan", ...: the name of the spec's field; empty if none is set.
std::string JobKind(const v1::JobSpec& spec);

bool HasEnded(v1::JobState state);

// An artifact and where it lies, relative to the job's folder.
struct StoredArtifact {
  v1::Artifact artifact;
  std::string path;
};

// Why an attempt is to be made again.
enum class Setback : uint8_t {
  kFailed,       // counted as Job.failed_attempts
  kInterrupted,  // the controller was killed: counted as Job.interruptions
  kShutdown,     // the controller was told to stop: not counted
};

struct JobFilter {
  std::vector<v1::JobState> states;  // empty: all
  std::string kind, label;           // empty: all
  JobNumber before = INT64_MAX;      // only jobs with smaller numbers
  int limit = 100;
};

class JobStore {
 public:
  // Called after each commit that added events, in no lock, on the thread of the change.
  using Listener = std::function<void(JobNumber job)>;

  static absl::StatusOr<std::unique_ptr<JobStore>> Open(const std::string& path);

  // Set once, before the store is shared between threads.
  void set_listener(Listener listener) { listener_ = std::move(listener); }
  const std::string& id() const { return id_; }  // made when the store was

  struct Submission {
    std::string request_id;  // an empty one is never compared
    v1::JobSpec spec;
    v1::Needs needs;
  };
  struct Accepted {
    v1::Job job;
    bool fresh = true;  // false: an earlier call with this request_id made it
  };
  // All in one transaction, since bringing it to the disk costs much more than a row does; a result
  // each, in order. AlreadyExists: this request_id came with another spec. ResourceExhausted:
  // `max_queued` jobs wait already.
  std::vector<absl::StatusOr<Accepted>> Submit(const std::vector<Submission>& submissions,
                                               int max_queued = INT32_MAX);
  // The job that an earlier call with this request_id made; nullopt: there was none. Errors as of
  // Submit.
  absl::StatusOr<std::optional<v1::Job>> FindRequest(const std::string& request_id,
                                                     const v1::JobSpec& spec);

  // NotFound for an unknown job, here and below. `text` is filled in if asked for.
  absl::StatusOr<v1::Job> Get(JobNumber job, bool with_text);
  // Newest first, at most filter.limit.
  absl::StatusOr<std::vector<v1::Job>> List(const JobFilter& filter);
  // Oldest first, of all states that have not ended.
  absl::StatusOr<std::vector<v1::Job>> Unfinished();
  // At most `limit` events with seq > after, in order. *ended: the last of them ends the history.
  absl::StatusOr<std::vector<v1::JobEvent>> Events(JobNumber job, int64_t after, int limit,
                                                   bool* ended);
  absl::StatusOr<StoredArtifact> FindArtifact(JobNumber job, const std::string& name);
  absl::StatusOr<std::string> Text(JobNumber job);

  absl::StatusOr<v1::Job> Start(JobNumber job);
  // What the job has said since the last call: text (may be empty) and progress (may be null).
  absl::Status AddOutput(JobNumber job, const std::string& text, const v1::Progress* progress);
  // RUNNING -> QUEUED after an attempt that came to nothing; CANCELLED if that was asked for. The
  // job afterwards.
  absl::StatusOr<v1::Job> Requeue(JobNumber job, const v1::Failure& why, Setback setback);
  absl::Status Finish(JobNumber job, v1::JobState state, const v1::Failure* why,
                      const std::vector<StoredArtifact>& artifacts,
                      const std::optional<v1::HostUse>& used = std::nullopt);
  // QUEUED: cancelled at once. RUNNING: marked. Ended: as it is. The job afterwards.
  absl::StatusOr<v1::Job> RequestCancel(JobNumber job);
  absl::Status Delete(JobNumber job);

  // How many jobs are in a state.
  absl::StatusOr<int64_t> Count(v1::JobState state);

 private:
  explicit JobStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  absl::Status Prepare();
  absl::StatusOr<Accepted> Insert(const Submission& submission, int64_t* queued, int max_queued);
  absl::Status InsertAll(const std::vector<Submission>& submissions, int max_queued,
                         std::vector<absl::StatusOr<Accepted>>* results);
  absl::StatusOr<v1::Job> Read(JobNumber job);
  absl::StatusOr<std::optional<v1::Job>> ReadRequest(const std::string& request_id,
                                                     const v1::JobSpec& spec);
  absl::StatusOr<std::string> ReadText(JobNumber job);
  absl::Status Write(const v1::Job& job);
  absl::StatusOr<int64_t> CountLocked(v1::JobState state);
  absl::StatusOr<int64_t> LastSeq(JobNumber job);
  absl::Status Append(JobNumber job, v1::JobEvent event);
  absl::Status Tell(const v1::Job& job, const v1::Failure* why);
  absl::Status Index(JobNumber job, const std::vector<StoredArtifact>& artifacts);
  // One transition: reads the job, lets `change` alter it, writes it with its event.
  absl::StatusOr<v1::Job> Move(JobNumber job, const v1::Failure* why,
                               const std::function<absl::Status(v1::Job&)>& change);
  void Notify(JobNumber job);

  std::mutex mutex_;  // guards the database
  std::unique_ptr<Database> database_;
  std::string id_;
  Listener listener_;
};

}  // namespace lockstep
