// A cursor survives the connection (launcher/client/follow.h).
#include "launcher/client/follow.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "launcher/console.h"
#include "launcher/exit_code.h"

namespace lockstep {
namespace {

constexpr auto kPause = std::chrono::milliseconds(200);

using Clock = std::chrono::steady_clock;

}  // namespace

absl::StatusOr<v1::Job> Follow(Connection& connection, const std::string& job_id, int64_t after,
                               const std::function<void(const v1::JobEvent&)>& see) {
  v1::WatchRequest request;
  request.set_job_id(job_id);
  Clock::time_point heard = Clock::now();
  const auto patience = std::chrono::seconds(connection.options().timeout_seconds);
  while (true) {
    request.set_after_seq(after);
    const std::unique_ptr<grpc::ClientContext> context = connection.NewContext();
    const auto stream = connection.stub().Watch(context.get(), request);
    v1::JobEvent event;
    while (stream->Read(&event)) {
      heard = Clock::now();
      if (event.seq() <= after) continue;
      after = event.seq();
      see(event);
    }
    const grpc::Status status = stream->Finish();
    if (status.ok()) break;
    const bool away = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                      status.error_code() == grpc::StatusCode::CANCELLED;
    if (!away || Clock::now() - heard > patience) {
      return FromGrpc(status, connection.options().server);
    }
    std::this_thread::sleep_for(kPause);
  }
  return GetJob(connection, job_id);
}

absl::StatusOr<v1::Job> GetJob(Connection& connection, const std::string& job_id) {
  v1::GetRequest get;
  get.set_job_id(job_id);
  v1::Job job;
  RETURN_IF_ERROR(connection.Call([&](grpc::ClientContext* context) {
    return connection.stub().Get(context, get, &job);
  }));
  return job;
}

absl::Status Outcome(const v1::Job& job) {
  if (job.state() == v1::SUCCEEDED) return absl::OkStatus();
  if (job.state() == v1::CANCELLED) {
    return WithExitCode(absl::CancelledError(absl::StrCat("job ", job.id(), " was cancelled")),
                        kExitCancelled);
  }
  return WithExitCode(
      absl::AbortedError(absl::StrCat("job ", job.id(), " failed (",
                                      v1::Failure::Reason_Name(job.failure().reason()), "): ",
                                      job.failure().message())),
      kExitJobFailed);
}

void PrintJson(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  std::puts(text.c_str());
  std::fflush(stdout);
}

std::function<void(const v1::JobEvent&)> Printer(const ClientOptions& options, bool states) {
  if (options.json) return [](const v1::JobEvent& event) { PrintJson(event); };
  const bool draw = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
  return [states, draw](const v1::JobEvent& event) {
    if (event.what_case() == v1::JobEvent::kText) {
      std::fwrite(event.text().data(), 1, event.text().size(), stdout);
      std::fflush(stdout);
    } else if (event.has_progress() && draw) {
      DrawProgress(event.progress().done(), event.progress().of());
    } else if (event.has_state() && states) {
      const v1::StateChange& state = event.state();
      std::fprintf(stderr, "%s%s%s\n", v1::JobState_Name(state.state()).c_str(),
                   state.attempt() > 1 ? absl::StrCat(", attempt ", state.attempt()).c_str() : "",
                   state.has_failure() ? (": " + state.failure().message()).c_str() : "");
    }
  };
}

absl::Status Fetch(Connection& connection, const std::string& job_id, const std::string& name,
                   const std::function<absl::Status(const std::string&)>& take) {
  v1::GetArtifactRequest request;
  request.set_job_id(job_id);
  request.set_name(name);
  int64_t offset = 0;
  absl::Status taken;
  RETURN_IF_ERROR(connection.Call([&](grpc::ClientContext* context) {
    request.set_offset(offset);
    const auto stream = connection.stub().GetArtifact(context, request);
    v1::ArtifactChunk chunk;
    while (taken.ok() && stream->Read(&chunk)) {
      taken = take(chunk.data());
      offset += static_cast<int64_t>(chunk.data().size());
    }
    if (!taken.ok()) context->TryCancel();
    const grpc::Status status = stream->Finish();
    return taken.ok() ? status : grpc::Status::OK;
  }));
  return taken;
}

}  // namespace lockstep
