// prometheus-cpp (runtime/controller/metrics.h). The library throws; nothing of it leaves here.
#include "runtime/controller/metrics.h"

#include <google/protobuf/util/time_util.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/controller/auth.h"

namespace lockstep {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildHistogram;

const prometheus::Histogram::BucketBoundaries kSeconds = {0.1, 0.3, 1,   3,    10,   30,
                                                          100, 300, 1000, 3000, 10000};

double Duration(const v1::Job& job) {
  using google::protobuf::util::TimeUtil;
  return static_cast<double>(TimeUtil::DurationToMilliseconds(job.ended() - job.started())) / 1000;
}

}  // namespace

// What is known elsewhere, asked for when it is read.
class Metrics::Readings : public prometheus::Collectable {
 public:
  Readings(JobStore* store, EventHub* hub) : store_(store), hub_(hub) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    prometheus::MetricFamily jobs{"lockstep_jobs", "Jobs that have not ended", {}, {}};
    jobs.type = prometheus::MetricType::Gauge;
    for (const v1::JobState state : {v1::QUEUED, v1::RUNNING}) {
      const absl::StatusOr<int64_t> count = store_->Count(state);
      if (!count.ok()) continue;
      prometheus::ClientMetric metric;
      metric.label = {{"state", v1::JobState_Name(state)}};
      metric.gauge.value = static_cast<double>(*count);
      jobs.metric.push_back(metric);
    }
    prometheus::MetricFamily watchers{"lockstep_watchers", "Streams of Watch", {}, {}};
    watchers.type = prometheus::MetricType::Gauge;
    watchers.metric.emplace_back();
    watchers.metric.back().gauge.value = static_cast<double>(hub_->watchers());
    return {jobs, watchers};
  }

 private:
  JobStore* const store_;
  EventHub* const hub_;
};

Metrics::Metrics(JobStore* store, EventHub* hub)
    : registry_(std::make_shared<prometheus::Registry>()),
      submitted_(BuildCounter()
                     .Name("lockstep_jobs_submitted_total")
                     .Help("Jobs accepted")
                     .Register(*registry_)),
      ended_(BuildCounter()
                 .Name("lockstep_jobs_ended_total")
                 .Help("Jobs that ended, by state")
                 .Register(*registry_)),
      failures_(BuildCounter()
                    .Name("lockstep_job_failures_total")
                    .Help("Jobs that failed, by reason")
                    .Register(*registry_)),
      retries_(BuildCounter()
                   .Name("lockstep_job_retries_total")
                   .Help("Attempts that failed and were made again, by reason")
                   .Register(*registry_)),
      calls_(BuildCounter()
                 .Name("lockstep_calls_total")
                 .Help("Calls of the service, by method and code")
                 .Register(*registry_)),
      tokens_(BuildCounter()
                  .Name("lockstep_tokens_total")
                  .Help("Positions run by generate jobs that succeeded: prompt and new tokens")
                  .Register(*registry_)
                  .Add({})),
      seconds_(BuildHistogram()
                   .Name("lockstep_job_seconds")
                   .Help("Duration of the last attempt of jobs that ended")
                   .Register(*registry_)),
      readings_(std::make_shared<Readings>(store, hub)) {}

Metrics::~Metrics() = default;

absl::Status Metrics::Expose(const std::string& address) {
  if (!IsLocalAddress(address) || IsUnixAddress(address)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "metrics address ", address, ": HTTP without TLS is for loopback only, HOST:PORT"));
  }
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(address, 1);
    exposer_->RegisterCollectable(registry_);
    exposer_->RegisterCollectable(readings_);
  } catch (const std::exception& error) {
    return absl::FailedPreconditionError(
        absl::StrCat("metrics address ", address, ": ", error.what()));
  }
  return absl::OkStatus();
}

std::string Metrics::port() const {
  if (exposer_ == nullptr) return "";
  const std::vector<int> ports = exposer_->GetListeningPorts();
  return ports.empty() ? "" : absl::StrCat(ports[0]);
}

void Metrics::Submitted(const std::string& kind) { submitted_.Add({{"kind", kind}}).Increment(); }

void Metrics::Call(const char* method, int code) {
  calls_.Add({{"method", method}, {"code", absl::StrCat(code)}}).Increment();
}

void Metrics::OnStart(const v1::Job& job) {
  spdlog::info("job={} kind={} state=RUNNING attempt={} ranks={}", job.id(), JobKind(job.spec()),
               job.attempt(), job.needs().ranks());
}

void Metrics::OnRetry(const v1::Job& job, const v1::Failure& why) {
  const std::string reason = v1::Failure::Reason_Name(why.reason());
  retries_.Add({{"reason", reason}}).Increment();
  spdlog::warn("job={} state=QUEUED again after attempt={} reason={}: {}", job.id(), why.attempt(),
               reason, why.message());
}

void Metrics::OnEnd(const v1::Job& job) {
  const std::string kind = JobKind(job.spec());
  ended_.Add({{"kind", kind}, {"state", v1::JobState_Name(job.state())}}).Increment();
  if (job.attempt() > 0) seconds_.Add({{"kind", kind}}, kSeconds).Observe(Duration(job));
  if (job.state() == v1::FAILED) {
    const std::string reason = v1::Failure::Reason_Name(job.failure().reason());
    failures_.Add({{"reason", reason}}).Increment();
    spdlog::warn("job={} kind={} state=FAILED reason={}: {}", job.id(), kind, reason,
                 job.failure().message());
    return;
  }
  if (job.state() == v1::SUCCEEDED && job.spec().has_generate()) {
    tokens_.Increment(job.progress().done());
  }
  spdlog::info("job={} kind={} state={} attempt={} seconds={:.3f}", job.id(), kind,
               v1::JobState_Name(job.state()), job.attempt(), Duration(job));
}

}  // namespace lockstep
