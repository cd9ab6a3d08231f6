// How a runner begins after whatever came before it, and how a job does (runtime/jobs/runner.h).
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/jobs/process_table.h"
#include "runtime/jobs/running.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr int kKillSeconds = 30;

absl::Status MakeFolders(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot make ", path, ": ", error.message()));
  }
  fs::permissions(path, fs::perms::owner_all, error);
  return absl::OkStatus();
}

v1::Failure Interrupted(const v1::Job& job) {
  v1::Failure failure;
  failure.set_reason(v1::Failure::INTERRUPTED);
  failure.set_message(absl::StrCat("the controller ended during attempt ", job.attempt()));
  failure.set_attempt(job.attempt());
  failure.set_transient(true);
  return failure;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Runner>> Runner::Start(const RunnerOptions& options,
                                                      const RunnerPolicy& policy, JobStore* store,
                                                      RunnerListener* listener) {
  std::unique_ptr<Runner> runner(new Runner(options, policy, store, listener));
  runner->wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (runner->wake_fd_ < 0) return absl::UnavailableError("cannot make an eventfd");
  RETURN_IF_ERROR(runner->Recover());
  runner->thread_ = std::thread([raw = runner.get()] { raw->Loop(); });
  return runner;
}

absl::Status Runner::Recover() {
  const std::string marker = absl::StrCat(store_->id(), "/");
  const size_t found = MarkedProcesses(marker).size();
  if (found > 0) spdlog::warn("{} processes of an earlier controller are killed", found);
  if (!KillAll([&marker] { return MarkedProcesses(marker); }, kKillSeconds, nullptr)) {
    return absl::UnavailableError("processes of an earlier controller cannot be killed");
  }
  std::error_code error;
  fs::remove_all(options_.scratch_folder, error);
  RETURN_IF_ERROR(MakeFolders(options_.state_folder + "/jobs"));
  RETURN_IF_ERROR(MakeFolders(options_.scratch_folder));
  ASSIGN_OR_RETURN(const std::vector<v1::Job> unfinished, store_->Unfinished());
  for (const v1::Job& job : unfinished) {
    const JobNumber number = *ParseJobId(job.id());
    if (job.state() == v1::QUEUED) {
      waiting_.push_back({number, job.needs()});
    } else if (job.interruptions() >= policy_.max_interruptions) {
      v1::Failure why = Interrupted(job);
      why.set_message(absl::StrCat(why.message(), ", the last of ", job.interruptions() + 1));
      RETURN_IF_ERROR(store_->Finish(number, v1::FAILED, &why, {}));
    } else {
      ASSIGN_OR_RETURN(const v1::Job now,
                       store_->Requeue(number, Interrupted(job), Setback::kInterrupted));
      spdlog::warn("job={} state={} after an interruption", now.id(), v1::JobState_Name(now.state()));
      if (now.state() == v1::QUEUED) waiting_.push_back({number, now.needs()});
    }
  }
  std::sort(waiting_.begin(), waiting_.end(),
            [](const Waiting& a, const Waiting& b) { return a.job < b.job; });
  RemoveLeftFolders();
  return absl::OkStatus();
}

// Folders of attempts that never came to an end, and of jobs that were deleted.
void Runner::RemoveLeftFolders() {
  std::error_code error;
  std::vector<fs::path> left;
  for (fs::directory_iterator it(options_.state_folder + "/jobs", error), end; !error && it != end;
       it.increment(error)) {
    const auto number = ParseJobId(it->path().filename().string());
    if (!number) continue;
    const absl::StatusOr<v1::Job> job = store_->Get(*number, false);
    if (absl::IsNotFound(job.status())) left.push_back(it->path());
    if (!job.ok()) continue;
    for (fs::directory_iterator sub(it->path(), error), last; !error && sub != last;
         sub.increment(error)) {
      const std::string name = sub->path().filename().string();
      const bool final_one = HasEnded(job->state()) && name == absl::StrCat(job->attempt());
      if (!final_one) left.push_back(sub->path());
    }
  }
  for (const fs::path& path : left) fs::remove_all(path, error);
}

absl::Status Runner::StartJob(const Waiting& waiting, const RunnerPolicy& policy) {
  const absl::StatusOr<v1::Job> queued = store_->Get(waiting.job, false);
  // Deleted, or cancelled, since it was put into the line.
  if (absl::IsNotFound(queued.status())) return absl::OkStatus();
  RETURN_IF_ERROR(queued.status());
  if (queued->state() != v1::QUEUED) return absl::OkStatus();
  ASSIGN_OR_RETURN(const PreparedJob prepared,
                   PrepareJob(queued->spec(), policy.roots, policy.limits));
  const absl::StatusOr<v1::Job> job = store_->Start(waiting.job);
  if (absl::IsFailedPrecondition(job.status())) return absl::OkStatus();
  RETURN_IF_ERROR(job.status());
  return Launch(*job, prepared, policy);
}

absl::Status Runner::Launch(const v1::Job& job, const PreparedJob& prepared,
                            const RunnerPolicy& policy) {
  auto running = std::make_unique<Running>();
  running->number = *ParseJobId(job.id());
  running->job = job;
  const std::string job_folder = JobFolder(running->number);
  RETURN_IF_ERROR(MakeFolders(job_folder));
  running->folder = absl::StrCat(job_folder, "/", job.attempt(), ".running");
  running->artifacts = prepared.command.artifacts;
  running->output_limit = policy.limits.output_bytes;
  ASSIGN_OR_RETURN(running->published, store_->Text(running->number));

  const v1::JobSpec& spec = job.spec();
  AttemptOptions options;
  options.guard_program = options_.guard_program;
  options.guard.seconds = spec.has_max_seconds() ? spec.max_seconds() : policy.limits.seconds;
  options.guard.memory_bytes = spec.has_max_memory_bytes()
                                   ? std::min(spec.max_memory_bytes(), policy.limits.memory_bytes)
                                   : policy.limits.memory_bytes;
  options.guard.output_bytes = policy.limits.output_bytes;
  options.guard.stdout_file = prepared.command.stdout_file;
  options.guard.command = prepared.command.arguments;
  options.guard.command.insert(options.guard.command.begin(), options_.lockstep_program);
  options.folder = running->folder;
  options.scratch = absl::StrCat(options_.scratch_folder, "/", job.id(), ".", job.attempt());
  options.marker = absl::StrCat(store_->id(), "/", job.id(), "/", job.attempt(), "/");
  options.stdout_is_text = prepared.command.stdout_is_text;
  ASSIGN_OR_RETURN(running->attempt, Attempt::Start(std::move(options)));
  listener_->OnStart(job);
  running_.emplace(running->number, std::move(running));
  return absl::OkStatus();
}

void Runner::FailUnstarted(JobNumber job, const absl::Status& why) {
  v1::Failure failure;
  failure.set_reason(v1::Failure::CANNOT_START);
  failure.set_message(std::string(why.message()));
  const absl::Status status = store_->Finish(job, v1::FAILED, &failure, {});
  const absl::StatusOr<v1::Job> ended = store_->Get(job, false);
  if (status.ok() && ended.ok()) {
    listener_->OnEnd(*ended);
  } else {
    spdlog::error("job={} cannot be started, nor marked as failed: {}", JobId(job),
                  std::string(status.message()));
  }
}

}  // namespace lockstep
