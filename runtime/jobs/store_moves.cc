// The transitions of a job that was accepted (runtime/jobs/store.h).
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/jobs/now.h"
#include "runtime/jobs/store.h"

namespace lockstep {
namespace {

absl::Status MustBe(const v1::Job& job, v1::JobState state) {
  if (job.state() == state) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("job ", job.id(), " is ",
                                                    v1::JobState_Name(job.state()), ", not ",
                                                    v1::JobState_Name(state)));
}

}  // namespace

absl::StatusOr<v1::Job> JobStore::Move(JobNumber number, const v1::Failure* why,
                                       const std::function<absl::Status(v1::Job&)>& change) {
  v1::Job job;
  {
    const std::lock_guard lock(mutex_);
    Transaction transaction(database_.get());
    RETURN_IF_ERROR(transaction.Begin(Durability::kDisk));
    ASSIGN_OR_RETURN(job, Read(number));
    RETURN_IF_ERROR(change(job));
    RETURN_IF_ERROR(Write(job));
    RETURN_IF_ERROR(Tell(job, why));
    RETURN_IF_ERROR(transaction.Commit());
  }
  Notify(number);
  return job;
}

absl::StatusOr<v1::Job> JobStore::Start(JobNumber number) {
  return Move(number, nullptr, [](v1::Job& job) {
    RETURN_IF_ERROR(MustBe(job, v1::QUEUED));
    job.set_state(v1::RUNNING);
    job.set_attempt(job.attempt() + 1);
    job.clear_progress();
    *job.mutable_started() = Now();
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Job> JobStore::Requeue(JobNumber number, const v1::Failure& why,
                                          Setback setback) {
  return Move(number, &why, [setback](v1::Job& job) {
    RETURN_IF_ERROR(MustBe(job, v1::RUNNING));
    job.set_state(job.cancel_requested() ? v1::CANCELLED : v1::QUEUED);
    if (HasEnded(job.state())) *job.mutable_ended() = Now();
    if (setback == Setback::kInterrupted) job.set_interruptions(job.interruptions() + 1);
    if (setback == Setback::kFailed) job.set_failed_attempts(job.failed_attempts() + 1);
    return absl::OkStatus();
  });
}

absl::Status JobStore::Index(JobNumber job, const std::vector<StoredArtifact>& artifacts) {
  for (const StoredArtifact& artifact : artifacts) {
    ASSIGN_OR_RETURN(std::unique_ptr<Query> insert,
                     database_->Prepare("INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?)"));
    RETURN_IF_ERROR(insert->Bind(job).Bind(artifact.artifact.name()).Bind(artifact.path)
                        .BindBlob(artifact.artifact.SerializeAsString()).Run());
  }
  return absl::OkStatus();
}

absl::Status JobStore::Finish(JobNumber number, v1::JobState state, const v1::Failure* why,
                              const std::vector<StoredArtifact>& artifacts,
                              const std::optional<v1::HostUse>& used) {
  LOCKSTEP_CHECK(HasEnded(state), "%s is no end", v1::JobState_Name(state));
  return Move(number, why, [&](v1::Job& job) {
           const bool unstarted = job.state() == v1::QUEUED && state != v1::SUCCEEDED;
           if (!unstarted) RETURN_IF_ERROR(MustBe(job, v1::RUNNING));
           job.set_state(state);
           *job.mutable_ended() = Now();
           if (why != nullptr) *job.mutable_failure() = *why;
           if (used) *job.mutable_used() = *used;
           for (const StoredArtifact& a : artifacts) *job.add_artifacts() = a.artifact;
           return Index(number, artifacts);
         }).status();
}

absl::StatusOr<v1::Job> JobStore::RequestCancel(JobNumber number) {
  {
    const std::lock_guard lock(mutex_);
    ASSIGN_OR_RETURN(v1::Job job, Read(number));
    if (HasEnded(job.state()) || job.cancel_requested()) return job;
    if (job.state() == v1::RUNNING) {
      Transaction transaction(database_.get());
      RETURN_IF_ERROR(transaction.Begin(Durability::kDisk));
      job.set_cancel_requested(true);
      RETURN_IF_ERROR(Write(job));
      RETURN_IF_ERROR(transaction.Commit());
      return job;
    }
  }
  // It may have been started since: then it is marked by the second look.
  const auto cancelled = Move(number, nullptr, [](v1::Job& job) {
    RETURN_IF_ERROR(MustBe(job, v1::QUEUED));
    job.set_cancel_requested(true);
    job.set_state(v1::CANCELLED);
    *job.mutable_ended() = Now();
    return absl::OkStatus();
  });
  return absl::IsFailedPrecondition(cancelled.status()) ? RequestCancel(number) : cancelled;
}

absl::Status JobStore::AddOutput(JobNumber number, const std::string& text,
                                 const v1::Progress* progress) {
  {
    const std::lock_guard lock(mutex_);
    Transaction transaction(database_.get());
    RETURN_IF_ERROR(transaction.Begin(Durability::kProcess));
    ASSIGN_OR_RETURN(v1::Job job, Read(number));
    RETURN_IF_ERROR(MustBe(job, v1::RUNNING));
    if (!text.empty()) {
      v1::JobEvent event;
      event.set_text(text);
      RETURN_IF_ERROR(Append(number, std::move(event)));
    }
    if (progress != nullptr) {
      v1::JobEvent event;
      *event.mutable_progress() = *progress;
      RETURN_IF_ERROR(Append(number, std::move(event)));
      *job.mutable_progress() = *progress;
      RETURN_IF_ERROR(Write(job));
    }
    RETURN_IF_ERROR(transaction.Commit());
  }
  Notify(number);
  return absl::OkStatus();
}

}  // namespace lockstep
