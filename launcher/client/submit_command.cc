// Sends what submit_flags.h makes, once, and shows what becomes of it
// (launcher/client/submit_command.h).
#include "launcher/client/submit_command.h"

#include <cstdio>
#include <memory>
#include <random>

#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "launcher/client/connection.h"
#include "launcher/client/follow.h"
#include "launcher/client/submit_flags.h"
#include "launcher/console.h"

namespace lockstep {
namespace {

struct SubmitFlags {
  ClientOptions client;
  std::string request_id;
  bool wait = false, report = false;
  SpecFlags spec;
};

// Random, so that no two calls share it, and kept over the retries of one.
std::string NewRequestId() {
  std::random_device random;
  return absl::StrFormat("cli-%08x%08x%08x", random(), random(), random());
}

void AddCommon(CLI::App& app, SubmitFlags* f) {
  AddClientFlags(app, &f->client);
  app.add_option("--request-id", f->request_id,
                 "Submitting again with the same id returns the same job (default: a random one)");
  AddLimitFlags(app, &f->spec);
}

absl::StatusOr<v1::Job> Submit(Connection& connection, const SubmitFlags& f,
                               const v1::JobSpec& spec) {
  v1::SubmitRequest request;
  request.set_request_id(f.request_id.empty() ? NewRequestId() : f.request_id);
  *request.mutable_spec() = spec;
  v1::Job job;
  RETURN_IF_ERROR(connection.Call([&](grpc::ClientContext* context) {
    return connection.stub().Submit(context, request, &job);
  }));
  return job;
}

absl::Status RunSubmit(const SubmitFlags& f, const absl::StatusOr<v1::JobSpec>& spec) {
  RETURN_IF_ERROR(spec.status());
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(f.client));
  ASSIGN_OR_RETURN(v1::Job job, Submit(*connection, f, *spec));
  if (!f.wait) {
    if (f.client.json) {
      PrintJson(job);
    } else {
      std::puts(job.id().c_str());
    }
    return FlushConsole();
  }
  if (!f.client.json) std::fprintf(stderr, "%s\n", job.id().c_str());
  ASSIGN_OR_RETURN(job, Follow(*connection, job.id(), 0, Printer(f.client, true)));
  if (f.client.json) PrintJson(job);
  return Outcome(job);
}

// Text alone on standard output, then the table if asked for.
absl::Status RunGenerate(const SubmitFlags& f) {
  ASSIGN_OR_RETURN(const v1::JobSpec spec, GenerateSpec(f.spec));
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(f.client));
  ASSIGN_OR_RETURN(v1::Job job, Submit(*connection, f, spec));
  ASSIGN_OR_RETURN(job, Follow(*connection, job.id(), 0, Printer(f.client, false)));
  if (f.client.json) {
    PrintJson(job);
  } else {
    std::puts("");
  }
  RETURN_IF_ERROR(Outcome(job));
  if (!f.report || f.client.json) return FlushConsole();
  std::puts("");
  RETURN_IF_ERROR(Fetch(*connection, job.id(), "table.txt", [](const std::string& bytes) {
    std::fwrite(bytes.data(), 1, bytes.size(), stdout);
    return absl::OkStatus();
  }));
  return FlushConsole();
}

// One kind of job: how its flags are registered, and what they make.
struct Kind {
  const char* name;
  const char* help;
  void (*add)(CLI::App&, SpecFlags*);
  absl::StatusOr<v1::JobSpec> (*make)(const SpecFlags&);
};
constexpr Kind kKinds[] = {
    {"generate", "Text of a model", AddGenerateFlags, GenerateSpec},
    {"run", "Cycles of a model: the timing engine", AddRunJobFlags, RunSpec},
    {"plan", "Where a model's parts would lie", AddPlanFlags, PlanSpec},
    {"collective", "One collective over all chips of a topology", AddCollectiveJobFlags,
     CollectiveSpec},
    {"sweep", "Collectives by size, beside GPUs under NCCL (simulated)", AddSweepFlags, SweepSpec},
    {"validate", "Published figures, measured", AddValidateFlags, ValidateSpec},
    {"spec", "Any JobSpec of proto/lockstep/v1/job.proto, as JSON", AddFileFlags, SpecOfFile},
};

}  // namespace

void AddSubmitCommands(CLI::App& app, absl::Status* result) {
  CLI::App* submit = app.add_subcommand("submit", "Give a job to a controller; prints its id");
  submit->require_subcommand(1);
  for (const Kind& kind : kKinds) {
    const auto flags = std::make_shared<SubmitFlags>();
    CLI::App* command = submit->add_subcommand(kind.name, kind.help);
    AddCommon(*command, flags.get());
    command->add_flag("--wait", flags->wait, "Show what happens until the job has ended");
    kind.add(*command, &flags->spec);
    command->callback(
        [flags, make = kind.make, result] { *result = RunSubmit(*flags, make(flags->spec)); });
  }
  const auto own = std::make_shared<SubmitFlags>();
  CLI::App* generate =
      app.add_subcommand("generate", "Submit a generate job to a controller and show its text");
  AddCommon(*generate, own.get());
  AddGenerateFlags(*generate, &own->spec);
  generate->add_flag("--report", own->report, "Also the report's table");
  generate->callback([own, result] { *result = RunGenerate(*own); });
}

}  // namespace lockstep
