// A queue and a thread (runtime/controller/submitter.h).
#include "runtime/controller/submitter.h"

#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "chip/check.h"
#include "runtime/controller/errors.h"
#include "runtime/jobs/request.h"

namespace lockstep {
namespace {

constexpr size_t kMaxWaitingCalls = 4096;

// The job to submit, or the job that an earlier call with this request_id made.
absl::Status Check(const v1::SubmitRequest& request, const RunnerPolicy& policy, JobStore* store,
                   JobStore::Submission* submission, std::optional<v1::Job>* earlier) {
  RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  // What was accepted once stays so, also if it could not be accepted now.
  ASSIGN_OR_RETURN(*earlier, store->FindRequest(request.request_id(), request.spec()));
  if (*earlier) return absl::OkStatus();
  ASSIGN_OR_RETURN(const PreparedJob prepared,
                   PrepareJob(request.spec(), policy.roots, policy.limits));
  *submission = {request.request_id(), request.spec(), prepared.needs};
  return absl::OkStatus();
}

}  // namespace

Submitter::Submitter(JobStore* store, Runner* runner, Metrics* metrics, int max_queued)
    : store_(store), runner_(runner), metrics_(metrics), max_queued_(max_queued),
      thread_([this] { Loop(); }) {}

Submitter::~Submitter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Submitter::Take(const Call& call) {
  {
    const std::lock_guard lock(mutex_);
    if (!stop_ && calls_.size() < kMaxWaitingCalls) {
      calls_.push_back(call);
      wake_.notify_one();
      return;
    }
  }
  End(call, absl::ResourceExhaustedError("too many submissions at once"));
}

void Submitter::End(const Call& call, const absl::Status& status) {
  const grpc::Status answer = ToGrpc(status);
  metrics_->Call("Submit", answer.error_code());
  call.reactor->Finish(answer);
}

void Submitter::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !calls_.empty(); });
    const std::deque<Call> calls = std::exchange(calls_, {});
    if (calls.empty()) return;
    const bool stop = stop_;
    lock.unlock();
    if (stop) {
      for (const Call& call : calls) End(call, absl::UnavailableError("the controller stops"));
    } else {
      Handle(calls);
    }
    lock.lock();
  }
}

void Submitter::Handle(const std::deque<Call>& calls) {
  const RunnerPolicy policy = runner_->policy();
  std::vector<Call> good;
  std::vector<JobStore::Submission> submissions;
  for (const Call& call : calls) {
    JobStore::Submission submission;
    std::optional<v1::Job> earlier;
    absl::Status status = absl::CancelledError("cancelled, or past the deadline");
    if (!call.context->IsCancelled()) {
      status = Check(*call.request, policy, store_, &submission, &earlier);
    }
    if (!status.ok() || earlier) {
      if (earlier) *call.response = *std::move(earlier);
      End(call, status);
      continue;
    }
    good.push_back(call);
    submissions.push_back(std::move(submission));
  }
  if (good.empty()) return;
  auto results = store_->Submit(submissions, max_queued_);
  for (size_t i = 0; i < good.size(); ++i) {
    const absl::StatusOr<JobStore::Accepted>& result = results[i];
    if (result.ok()) {
      *good[i].response = result->job;
      if (result->fresh) {
        const std::string kind = JobKind(result->job.spec());
        runner_->Added(*ParseJobId(result->job.id()), result->job.needs());
        metrics_->Submitted(kind);
        spdlog::info("job={} kind={} state=QUEUED request={}", result->job.id(), kind,
                     result->job.request_id());
      }
    }
    End(good[i], result.status());
  }
}

}  // namespace lockstep
