#pragma once
// Counters of the controller for Prometheus, and the HTTP port that they are read from. All members
// may be called by any thread.

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "lockstep/v1/job.pb.h"
#include "runtime/controller/event_hub.h"
#include "runtime/jobs/runner.h"

namespace lockstep {

// Also the runner's listener: it logs each step of a job with its id.
class Metrics : public RunnerListener {
 public:
  // Queue length, running jobs and watchers are read when somebody asks; all outlive this.
  Metrics(JobStore* store, EventHub* hub);
  ~Metrics() override;

  // Serves http://`address`/metrics. FailedPrecondition: not a loopback address, or taken.
  absl::Status Expose(const std::string& address);
  std::string port() const;  // of the address in use; empty before Expose

  void Submitted(const std::string& kind);
  void Call(const char* method, int code);
  void OnStart(const v1::Job& job) override;
  void OnRetry(const v1::Job& job, const v1::Failure& why) override;
  void OnEnd(const v1::Job& job) override;

 private:
  class Readings;

  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Counter>& submitted_;
  prometheus::Family<prometheus::Counter>& ended_;
  prometheus::Family<prometheus::Counter>& failures_;
  prometheus::Family<prometheus::Counter>& retries_;
  prometheus::Family<prometheus::Counter>& calls_;
  prometheus::Counter& tokens_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  std::shared_ptr<Readings> readings_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace lockstep
