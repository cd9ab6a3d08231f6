#pragma once
// Takes submissions from gRPC's threads, which must not wait for a disk, checks each, and gives all
// that have come meanwhile to the store in one transaction.

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "lockstep/v1/controller.pb.h"
#include "runtime/controller/metrics.h"
#include "runtime/jobs/runner.h"

namespace lockstep {

class Submitter {
 public:
  struct Call {
    grpc::CallbackServerContext* context;
    const v1::SubmitRequest* request;
    v1::Job* response;
    grpc::ServerUnaryReactor* reactor;  // finished by the submitter, whatever happens
  };

  Submitter(JobStore* store, Runner* runner, Metrics* metrics, int max_queued);
  ~Submitter();  // calls that still wait end with UNAVAILABLE

  void Take(const Call& call);

 private:
  void Loop();
  void Handle(const std::deque<Call>& calls);
  void End(const Call& call, const absl::Status& status);

  JobStore* const store_;
  Runner* const runner_;
  Metrics* const metrics_;
  const int max_queued_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Call> calls_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace lockstep
