#pragma once
// The service of proto/lockstep/v1/controller.proto over store, runner and hub: each method checks
// the token and its fields, and does one thing.

#include <grpcpp/server_context.h>

#include <string>

#include "lockstep/v1/controller.grpc.pb.h"
#include "runtime/controller/auth.h"
#include "runtime/controller/event_hub.h"
#include "runtime/controller/metrics.h"
#include "runtime/controller/submitter.h"
#include "runtime/jobs/runner.h"

namespace lockstep {

class ControllerService final : public v1::Controller::CallbackService {
 public:
  struct Parts {
    JobStore* store;
    Runner* runner;
    EventHub* hub;
    Metrics* metrics;
    Submitter* submitter;
    const TokenCheck* token;
  };
  explicit ControllerService(const Parts& parts) : parts_(parts) {}

  using Context = grpc::CallbackServerContext;
  grpc::ServerUnaryReactor* Submit(Context* context, const v1::SubmitRequest* request,
                                   v1::Job* response) override;
  grpc::ServerUnaryReactor* Get(Context* context, const v1::GetRequest* request,
                                v1::Job* response) override;
  grpc::ServerUnaryReactor* List(Context* context, const v1::ListRequest* request,
                                 v1::ListResponse* response) override;
  grpc::ServerWriteReactor<v1::JobEvent>* Watch(Context* context,
                                                const v1::WatchRequest* request) override;
  grpc::ServerUnaryReactor* Cancel(Context* context, const v1::CancelRequest* request,
                                   v1::Job* response) override;
  grpc::ServerUnaryReactor* Delete(Context* context, const v1::DeleteRequest* request,
                                   v1::DeleteResponse* response) override;
  grpc::ServerWriteReactor<v1::ArtifactChunk>* GetArtifact(
      Context* context, const v1::GetArtifactRequest* request) override;
  grpc::ServerUnaryReactor* ListTopologies(Context* context,
                                           const v1::ListTopologiesRequest* request,
                                           v1::ListTopologiesResponse* response) override;
  grpc::ServerUnaryReactor* ListModels(Context* context, const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetVersion(Context* context, const v1::GetVersionRequest* request,
                                       v1::GetVersionResponse* response) override;

 private:
  grpc::ServerUnaryReactor* End(Context* context, const char* method, const absl::Status& status);

  const Parts parts_;
};

}  // namespace lockstep
