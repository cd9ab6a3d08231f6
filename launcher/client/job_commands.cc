// One function a command (launcher/client/job_commands.h).
#include "launcher/client/job_commands.h"

#include <google/protobuf/util/time_util.h>

#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "launcher/client/connection.h"
#include "launcher/client/follow.h"
#include "launcher/console.h"
#include "launcher/exit_code.h"
#include "runtime/files/atomic_file.h"

namespace lockstep {
namespace {

struct JobFlags {
  ClientOptions client;
  std::string job, kind, label, name, output;
  std::vector<std::string> states;
  int limit = 20;
  int64_t after = 0;
};
using Command = absl::Status (*)(Connection&, const JobFlags&);

// What a person wants to know of a job, on one line.
void PrintLine(const v1::Job& job) {
  const auto* field = v1::JobSpec::descriptor()->FindFieldByNumber(job.spec().kind_case());
  const std::string created = google::protobuf::util::TimeUtil::ToString(job.created());
  std::string note = job.spec().label();
  if (job.state() == v1::RUNNING) {
    note = absl::StrCat(static_cast<int>(100 * job.progress().fraction()), " % ", note);
  }
  if (job.has_failure()) note = absl::StrCat(job.failure().message().substr(0, 60), " ", note);
  std::printf("%-8s %-10s %-10s %.19s  %s\n", job.id().c_str(),
              v1::JobState_Name(job.state()).c_str(), field ? field->name().c_str() : "",
              created.c_str(), note.c_str());
}

absl::Status Jobs(Connection& connection, const JobFlags& f) {
  v1::ListRequest request;
  request.set_kind(f.kind);
  request.set_label(f.label);
  for (const std::string& name : f.states) {
    v1::JobState state;
    if (!v1::JobState_Parse(absl::AsciiStrToUpper(name), &state)) {
      return AsUsage(absl::InvalidArgumentError(absl::StrCat("--state ", name, ": no such state")));
    }
    request.add_states(state);
  }
  int left = f.limit;
  if (!f.client.json) {
    std::printf("%-8s %-10s %-10s %-19s\n", "job", "state", "kind", "created (UTC)");
  }
  while (left > 0) {
    request.set_page_size(std::min(left, 1000));
    v1::ListResponse page;
    RETURN_IF_ERROR(connection.Call([&](grpc::ClientContext* context) {
      return connection.stub().List(context, request, &page);
    }));
    for (const v1::Job& job : page.jobs()) f.client.json ? PrintJson(job) : PrintLine(job);
    left -= page.jobs_size();
    request.set_page_token(page.next_page_token());
    if (page.next_page_token().empty()) break;
  }
  return absl::OkStatus();
}

absl::Status Watch(Connection& connection, const JobFlags& f) {
  ASSIGN_OR_RETURN(const v1::Job job, Follow(connection, f.job, f.after, Printer(f.client, true)));
  if (!f.client.json) std::puts("");
  return Outcome(job);
}

absl::Status Cancel(Connection& connection, const JobFlags& f) {
  v1::CancelRequest request;
  request.set_job_id(f.job);
  v1::Job job;
  RETURN_IF_ERROR(connection.Call([&](grpc::ClientContext* context) {
    return connection.stub().Cancel(context, request, &job);
  }));
  f.client.json ? PrintJson(job) : PrintLine(job);
  return absl::OkStatus();
}

absl::Status Delete(Connection& connection, const JobFlags& f) {
  v1::DeleteRequest request;
  request.set_job_id(f.job);
  v1::DeleteResponse response;
  return connection.Call([&](grpc::ClientContext* context) {
    return connection.stub().Delete(context, request, &response);
  });
}

absl::Status ToStdout(const std::string& bytes) {
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
  return absl::OkStatus();
}

absl::Status Artifacts(Connection& connection, const JobFlags& f) {
  if (!f.output.empty() && f.name.empty()) {
    return AsUsage(absl::InvalidArgumentError("--output has no effect without --get"));
  }
  if (f.name.empty()) {
    ASSIGN_OR_RETURN(const v1::Job job, GetJob(connection, f.job));
    for (const v1::Artifact& artifact : job.artifacts()) {
      if (f.client.json) {
        PrintJson(artifact);
      } else {
        std::printf("%12lld  %016llx  %s\n", static_cast<long long>(artifact.bytes()),
                    static_cast<unsigned long long>(artifact.xxh64()), artifact.name().c_str());
      }
    }
    return absl::OkStatus();
  }
  if (f.output.empty()) return Fetch(connection, f.job, f.name, ToStdout);
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(f.output));
  RETURN_IF_ERROR(Fetch(connection, f.job, f.name,
                        [&file](const std::string& bytes) { return file.Append(bytes); }));
  return file.Commit();
}

absl::Status Describe(Connection& connection, const JobFlags& f) {
  v1::GetVersionResponse version;
  v1::ListModelsResponse models;
  v1::ListTopologiesResponse topologies;
  v1::Controller::Stub& stub = connection.stub();
  RETURN_IF_ERROR(connection.Call(
      [&](grpc::ClientContext* context) { return stub.GetVersion(context, {}, &version); }));
  RETURN_IF_ERROR(connection.Call(
      [&](grpc::ClientContext* context) { return stub.ListModels(context, {}, &models); }));
  RETURN_IF_ERROR(connection.Call(
      [&](grpc::ClientContext* context) { return stub.ListTopologies(context, {}, &topologies); }));
  if (f.client.json) {
    PrintJson(version);
    PrintJson(models);
    PrintJson(topologies);
    return absl::OkStatus();
  }
  std::printf("version %s, store %s\njobs:", version.version().c_str(), version.store_id().c_str());
  for (const std::string& kind : version.job_kinds()) std::printf(" %s", kind.c_str());
  std::puts("\nmodels:");
  for (const v1::ModelInfo& m : models.models()) {
    std::printf("  %-20s %14lld parameters%s%s\n", m.name().c_str(),
                static_cast<long long>(m.parameters()), m.has_weights() ? "" : ", shape only",
                m.problem().empty() ? "" : (": " + m.problem()).c_str());
  }
  std::puts("topologies:");
  for (const v1::TopologyInfo& t : topologies.topologies())
    std::printf("  %s\n", t.rules().c_str());
  return absl::OkStatus();
}

CLI::App* Add(CLI::App& app, const char* name, const char* help, Command command, bool of_job,
              const std::shared_ptr<JobFlags>& flags, absl::Status* result) {
  CLI::App* sub = app.add_subcommand(name, help);
  AddClientFlags(*sub, &flags->client);
  if (of_job) sub->add_option("job", flags->job, "Id of the job: j17")->required();
  sub->callback([flags, command, result] {
    *result = [&]() -> absl::Status {
      ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection,
                       Connection::Open(flags->client));
      RETURN_IF_ERROR(command(*connection, *flags));
      return FlushConsole();
    }();
  });
  return sub;
}

}  // namespace

void AddJobCommands(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<JobFlags>();
  CLI::App* jobs =
      Add(app, "jobs", "List a controller's jobs, newest first", Jobs, false, flags, result);
  jobs->add_option("--state", flags->states, "queued, running, succeeded, failed, cancelled")
      ->delimiter(',');
  jobs->add_option("--kind", flags->kind, "generate, run, ...");
  jobs->add_option("--label", flags->label, "Exactly this label");
  jobs->add_option("--limit", flags->limit, "At most so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::App* watch =
      Add(app, "watch", "Show a job's history and what happens", Watch, true, flags, result);
  watch->add_option("--after", flags->after, "Only events after this number");
  Add(app, "cancel", "Ask a job to end", Cancel, true, flags, result);
  Add(app, "delete", "Remove an ended job and its files", Delete, true, flags, result);
  CLI::App* artifacts =
      Add(app, "artifacts", "List or fetch a job's files", Artifacts, true, flags, result);
  artifacts->add_option("--get", flags->name, "Name of the file to fetch");
  artifacts->add_option("--output,-o", flags->output, "Where to (default: standard output)");
  Add(app, "controller", "What a controller is and offers", Describe, false, flags, result);
}

}  // namespace lockstep
