// The loop of the runner (runtime/jobs/runner.h); what it does at start is in runner_start.cc.
#include "runtime/jobs/runner.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/jobs/artifacts.h"
#include "runtime/jobs/running.h"

namespace lockstep {
namespace {

constexpr int kTickMs = 50;  // text and limits are looked at this often while something runs
constexpr auto kRetryStore = std::chrono::seconds(1);

double SecondsSince(SteadyTime start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Runner::Runner(const RunnerOptions& options, const RunnerPolicy& policy, JobStore* store,
               RunnerListener* listener)
    : options_(options), store_(store), listener_(listener), policy_(policy) {}

Runner::~Runner() {
  Stop();
  if (wake_fd_ >= 0) close(wake_fd_);
}

void Runner::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  if (wake_fd_ >= 0) eventfd_write(wake_fd_, 1);
  if (!thread_.joinable()) return;
  thread_.join();
  std::error_code error;
  std::filesystem::remove_all(options_.scratch_folder, error);
}

void Runner::SetPolicy(const RunnerPolicy& policy) {
  {
    const std::lock_guard lock(mutex_);
    policy_ = policy;
  }
  eventfd_write(wake_fd_, 1);
}

RunnerPolicy Runner::policy() const {
  const std::lock_guard lock(mutex_);
  return policy_;
}

void Runner::Added(JobNumber job, const v1::Needs& needs) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back({job, needs});
  }
  eventfd_write(wake_fd_, 1);
}

void Runner::CancelRequested(JobNumber job) {
  {
    const std::lock_guard lock(mutex_);
    cancels_.push_back(job);
  }
  eventfd_write(wake_fd_, 1);
}

void Runner::Deleted(JobNumber job) {
  std::error_code error;
  std::filesystem::remove_all(JobFolder(job), error);
}

std::string Runner::JobFolder(JobNumber job) const {
  return absl::StrCat(options_.state_folder, "/jobs/", JobId(job));
}

void Runner::TakeInbox() {
  const std::lock_guard lock(mutex_);
  waiting_.insert(waiting_.end(), inbox_.begin(), inbox_.end());
  inbox_.clear();
  for (const JobNumber job : cancels_) {
    if (const auto it = running_.find(job); it != running_.end()) {
      it->second->cancelled = true;
      it->second->attempt->Stop();
    }
    std::erase_if(waiting_, [job](const Waiting& w) { return w.job == job; });
  }
  cancels_.clear();
  if (!stop_ || stopping_) return;
  stopping_ = true;
  for (auto& [job, running] : running_) running->attempt->Stop();
}

v1::Needs Runner::InUse() const {
  v1::Needs sum;
  for (const auto& [job, running] : running_) {
    sum.set_cores(sum.cores() + running->job.needs().cores());
    sum.set_memory_bytes(sum.memory_bytes() + running->job.needs().memory_bytes());
  }
  return sum;
}

void Runner::StartWhatFits(const RunnerPolicy& policy) {
  if (stopping_ || policy.hold) return;
  v1::Needs used = InUse();
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const v1::Needs& needs = it->needs;
    // Alone a job may take the whole host, also after the host was said to be smaller.
    const bool fits =
        running_.empty() || (used.cores() + needs.cores() <= policy.limits.cores &&
                             used.memory_bytes() + needs.memory_bytes() <=
                                 policy.limits.memory_bytes);
    if (!fits) {
      if (it->overtaken >= policy.max_overtakes) return;
      ++it;
      continue;
    }
    for (auto passed = waiting_.begin(); passed != it; ++passed) ++passed->overtaken;
    const Waiting next = *it;
    it = waiting_.erase(it);
    const absl::Status status = StartJob(next, policy);
    if (!status.ok()) FailUnstarted(next.job, status);
    used = InUse();
  }
}

void Runner::Wait() {
  std::vector<pollfd> fds = {{wake_fd_, POLLIN, 0}};
  for (const auto& [job, running] : running_) {
    for (const int fd : running->attempt->descriptors()) fds.push_back({fd, POLLIN, 0});
  }
  poll(fds.data(), fds.size(), running_.empty() ? -1 : kTickMs);
  eventfd_t count;
  if (fds[0].revents != 0) eventfd_read(wake_fd_, &count);
}

void Runner::Loop() {
  while (true) {
    TakeInbox();
    if (stopping_ && running_.empty()) return;
    const RunnerPolicy policy = this->policy();
    StartWhatFits(policy);
    Wait();
    for (auto it = running_.begin(); it != running_.end();) {
      Running& running = *it->second;
      Advance(running);
      bool done = false;
      if (running.ended && std::chrono::steady_clock::now() >= running.next_try) {
        const absl::Status status = Conclude(running, policy);
        // Cancelled, then deleted, while its processes were still ending: nobody waits for it.
        const bool deleted =
            !status.ok() && absl::IsNotFound(store_->Get(running.number, false).status());
        if (deleted) Deleted(running.number);
        if (!status.ok() && !deleted) {
          spdlog::error("job={} cannot be concluded, will try again: {}", running.job.id(),
                        std::string(status.message()));
          running.next_try = std::chrono::steady_clock::now() + kRetryStore;
        }
        done = status.ok() || deleted;
      }
      it = done ? running_.erase(it) : std::next(it);
    }
  }
}

void Runner::Advance(Running& running) {
  if (running.ended) return;
  running.ended = !running.attempt->Read();
  running.text += running.attempt->TakeText();
  if (const auto progress = running.attempt->TakeProgress()) {
    running.progress.Take(progress->first, progress->second, SecondsSince(running.started));
  }
  if (running.attempt->output_bytes() > running.output_limit && !running.too_loud) {
    running.too_loud = true;
    running.attempt->Stop();
  }
  const absl::Status status = Publish(running, running.ended);
  if (!status.ok()) {
    spdlog::warn("job={} output not stored yet: {}", running.job.id(),
                 std::string(status.message()));
  }
}

absl::Status Runner::Publish(Running& running, bool all) {
  const size_t known = std::min(running.published.size(), running.text.size());
  if (running.text.compare(0, known, running.published, 0, known) != 0 && !running.diverged) {
    running.diverged = true;
    running.attempt->Stop();
  }
  if (running.diverged) return absl::OkStatus();
  const auto now = std::chrono::steady_clock::now();
  if (!all && now - running.told < std::chrono::milliseconds(kTickMs)) return absl::OkStatus();
  const std::string fresh = running.text.substr(known);
  const v1::Progress* progress = running.progress.ToTell(all);
  if (fresh.empty() && progress == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(store_->AddOutput(running.number, fresh, progress));
  running.told = now;
  running.published += fresh;
  running.progress.Told();
  return absl::OkStatus();
}

absl::Status Runner::Conclude(Running& running, const RunnerPolicy& policy) {
  RETURN_IF_ERROR(Publish(running, true));
  std::optional<v1::Failure> failure = running.Judge();
  if (running.cancelled && failure) return End(running, v1::CANCELLED, nullptr);
  if (!failure) return End(running, v1::SUCCEEDED, nullptr);
  failure->set_attempt(running.job.attempt());
  const bool shutdown = stopping_ && failure->reason() == v1::Failure::SUPERVISOR_DIED;
  const bool again = failure->transient() &&
                     running.job.failed_attempts() + 1 < policy.max_failed_attempts;
  if (!shutdown && !again) return End(running, v1::FAILED, &*failure);
  ASSIGN_OR_RETURN(const v1::Job job,
                   store_->Requeue(running.number, *failure,
                                   shutdown ? Setback::kShutdown : Setback::kFailed));
  std::error_code error;
  std::filesystem::remove_all(running.folder, error);
  if (HasEnded(job.state())) {
    listener_->OnEnd(job);
  } else {
    listener_->OnRetry(job, *failure);
    waiting_.push_back({running.number, job.needs()});
  }
  return absl::OkStatus();
}

absl::Status Runner::End(Running& running, v1::JobState state, const v1::Failure* why) {
  ASSIGN_OR_RETURN(const std::vector<StoredArtifact> artifacts, Collect(running));
  RETURN_IF_ERROR(
      store_->Finish(running.number, state, why, artifacts, running.attempt->Used()));
  ASSIGN_OR_RETURN(const v1::Job job, store_->Get(running.number, false));
  listener_->OnEnd(job);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredArtifact>> Runner::Collect(const Running& running) {
  const std::string& log = running.attempt->standard_error();
  return CollectArtifacts(running.folder, absl::StrCat(JobFolder(running.number), "/",
                                                       running.job.attempt()),
                          running.artifacts, log);
}

}  // namespace lockstep
