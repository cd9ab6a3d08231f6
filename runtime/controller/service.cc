// Checks of fields, and one call each (runtime/controller/service.h).
#include "runtime/controller/service.h"

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/controller/errors.h"
#include "runtime/controller/streams.h"
#include "runtime/files/strict_json.h"
#include "runtime/jobs/request.h"

namespace lockstep {
namespace {

constexpr int kDefaultPage = 100, kMaxPage = 1000;
constexpr size_t kMaxFilterBytes = 128;

absl::StatusOr<JobNumber> NumberOf(const std::string& job_id) {
  if (const std::optional<JobNumber> number = ParseJobId(job_id)) return *number;
  return FieldError("job_id", absl::StrCat(Quoted(job_id), " is no id of a job, such as j17"));
}

absl::StatusOr<JobFilter> FilterOf(const v1::ListRequest& request) {
  JobFilter filter;
  if (request.page_size() < 0 || request.page_size() > kMaxPage) {
    return FieldError("page_size", absl::StrCat(request.page_size(), ": 0..", kMaxPage));
  }
  filter.limit = request.page_size() == 0 ? kDefaultPage : request.page_size();
  if (!request.page_token().empty()) {
    const std::optional<JobNumber> before = ParseJobId(request.page_token());
    if (!before) return FieldError("page_token", "is none of this server");
    filter.before = *before;
  }
  for (const int state : request.states()) {
    if (!v1::JobState_IsValid(state) || state == v1::JOB_STATE_UNSPECIFIED) {
      return FieldError("states", absl::StrCat(state, " is no state"));
    }
    filter.states.push_back(static_cast<v1::JobState>(state));
  }
  if (request.kind().size() > kMaxFilterBytes) return FieldError("kind", "too long");
  if (request.label().size() > kMaxFilterBytes) return FieldError("label", "too long");
  filter.kind = request.kind();
  filter.label = request.label();
  return filter;
}

absl::Status ListJobs(JobStore* store, const v1::ListRequest& request, v1::ListResponse* response) {
  ASSIGN_OR_RETURN(JobFilter filter, FilterOf(request));
  const size_t wanted = static_cast<size_t>(filter.limit);
  ++filter.limit;  // to know whether there are more
  ASSIGN_OR_RETURN(std::vector<v1::Job> jobs, store->List(filter));
  if (jobs.size() > wanted) {
    jobs.resize(wanted);
    response->set_next_page_token(jobs.back().id());
  }
  for (v1::Job& job : jobs) *response->add_jobs() = std::move(job);
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* ControllerService::End(Context* context, const char* method,
                                                 const absl::Status& status) {
  const grpc::Status answer = ToGrpc(status);
  parts_.metrics->Call(method, answer.error_code());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(answer);
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::Submit(Context* context,
                                                    const v1::SubmitRequest* request,
                                                    v1::Job* response) {
  const absl::Status allowed = parts_.token->Check(*context);
  if (!allowed.ok()) return End(context, "Submit", allowed);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  parts_.submitter->Take({context, request, response, reactor});
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::Get(Context* context, const v1::GetRequest* request,
                                                 v1::Job* response) {
  return End(context, "Get", [&]() -> absl::Status {
    RETURN_IF_ERROR(parts_.token->Check(*context));
    ASSIGN_OR_RETURN(const JobNumber job, NumberOf(request->job_id()));
    ASSIGN_OR_RETURN(*response, parts_.store->Get(job, true));
    return absl::OkStatus();
  }());
}

grpc::ServerUnaryReactor* ControllerService::List(Context* context, const v1::ListRequest* request,
                                                  v1::ListResponse* response) {
  absl::Status status = parts_.token->Check(*context);
  if (status.ok()) status = ListJobs(parts_.store, *request, response);
  return End(context, "List", status);
}

grpc::ServerUnaryReactor* ControllerService::Cancel(Context* context,
                                                    const v1::CancelRequest* request,
                                                    v1::Job* response) {
  return End(context, "Cancel", [&]() -> absl::Status {
    RETURN_IF_ERROR(parts_.token->Check(*context));
    ASSIGN_OR_RETURN(const JobNumber job, NumberOf(request->job_id()));
    ASSIGN_OR_RETURN(*response, parts_.store->RequestCancel(job));
    if (response->cancel_requested()) parts_.runner->CancelRequested(job);
    return absl::OkStatus();
  }());
}

grpc::ServerUnaryReactor* ControllerService::Delete(Context* context,
                                                    const v1::DeleteRequest* request,
                                                    v1::DeleteResponse*) {
  return End(context, "Delete", [&]() -> absl::Status {
    RETURN_IF_ERROR(parts_.token->Check(*context));
    ASSIGN_OR_RETURN(const JobNumber job, NumberOf(request->job_id()));
    RETURN_IF_ERROR(parts_.store->Delete(job));
    parts_.runner->Deleted(job);
    parts_.hub->Changed(job);
    return absl::OkStatus();
  }());
}

grpc::ServerWriteReactor<v1::JobEvent>* ControllerService::Watch(Context* context,
                                                                 const v1::WatchRequest* request) {
  const auto check = [&]() -> absl::StatusOr<JobNumber> {
    RETURN_IF_ERROR(parts_.token->Check(*context));
    ASSIGN_OR_RETURN(const JobNumber job, NumberOf(request->job_id()));
    if (request->after_seq() < 0) {
      return FieldError("after_seq", absl::StrCat(request->after_seq(), ": at least 0"));
    }
    return job;
  };
  const absl::StatusOr<JobNumber> job = check();
  Metrics* const metrics = parts_.metrics;
  if (!job.ok()) {
    metrics->Call("Watch", static_cast<int>(job.status().code()));
    return new EndedStream<v1::JobEvent>(ToGrpc(job.status()));
  }
  return NewWatch(parts_.hub, *job, request->after_seq(),
                  [metrics](grpc::StatusCode code) { metrics->Call("Watch", code); });
}

grpc::ServerWriteReactor<v1::ArtifactChunk>* ControllerService::GetArtifact(
    Context* context, const v1::GetArtifactRequest* request) {
  const auto find = [&]() -> absl::StatusOr<std::string> {
    RETURN_IF_ERROR(parts_.token->Check(*context));
    ASSIGN_OR_RETURN(const JobNumber job, NumberOf(request->job_id()));
    ASSIGN_OR_RETURN(const StoredArtifact artifact,
                     parts_.store->FindArtifact(job, request->name()));
    if (request->offset() < 0 || request->offset() > artifact.artifact.bytes()) {
      return FieldError("offset",
                        absl::StrCat(request->offset(), ": 0..", artifact.artifact.bytes()));
    }
    return absl::StrCat(parts_.runner->JobFolder(job), "/", artifact.path);
  };
  const absl::StatusOr<std::string> path = find();
  Metrics* const metrics = parts_.metrics;
  if (!path.ok()) {
    metrics->Call("GetArtifact", static_cast<int>(path.status().code()));
    return new EndedStream<v1::ArtifactChunk>(ToGrpc(path.status()));
  }
  return NewArtifactStream(*path, request->offset(), [metrics](grpc::StatusCode code) {
    metrics->Call("GetArtifact", code);
  });
}

grpc::ServerUnaryReactor* ControllerService::ListTopologies(Context* context,
                                                            const v1::ListTopologiesRequest*,
                                                            v1::ListTopologiesResponse* response) {
  const absl::Status status = parts_.token->Check(*context);
  if (status.ok()) {
    for (const v1::TopologyInfo& info : lockstep::ListTopologies(parts_.runner->policy().roots)) {
      *response->add_topologies() = info;
    }
  }
  return End(context, "ListTopologies", status);
}

grpc::ServerUnaryReactor* ControllerService::ListModels(Context* context,
                                                        const v1::ListModelsRequest*,
                                                        v1::ListModelsResponse* response) {
  const absl::Status status = parts_.token->Check(*context);
  if (status.ok()) {
    for (const v1::ModelInfo& info : lockstep::ListModels(parts_.runner->policy().roots)) {
      *response->add_models() = info;
    }
  }
  return End(context, "ListModels", status);
}

grpc::ServerUnaryReactor* ControllerService::GetVersion(Context* context,
                                                        const v1::GetVersionRequest*,
                                                        v1::GetVersionResponse* response) {
  const absl::Status status = parts_.token->Check(*context);
  if (status.ok()) {
    response->set_version(LOCKSTEP_VERSION);
    response->set_store_id(parts_.store->id());
    for (const std::string& kind : RunnableKinds()) response->add_job_kinds(kind);
  }
  return End(context, "GetVersion", status);
}

}  // namespace lockstep
