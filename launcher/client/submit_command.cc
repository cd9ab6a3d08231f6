// Flags to a JobSpec, which the controller checks (launcher/client/submit_command.h).
#include "launcher/client/submit_command.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "launcher/client/connection.h"
#include "launcher/client/follow.h"
#include "launcher/console.h"
#include "launcher/exit_code.h"
#include "runtime/run/run_options.h"

namespace lockstep {
namespace {

struct SubmitFlags {
  ClientOptions client;
  std::string request_id, label;
  std::optional<int> max_seconds;
  std::optional<int64_t> max_memory_bytes;
  bool wait = false, report = false;

  std::string model, topology, prompt_ids, spec_file;
  std::optional<std::string> prompt, hop_latency;
  std::optional<int> chips, context, chips_per_rank, threads, top_k;
  std::optional<double> temperature, top_p;
  std::optional<uint64_t> seed;
  std::vector<std::string> latencies, only;
  int tokens = 0, prompt_tokens = 1;
  bool ignore_eos = false, logits = false, timeline = false;
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
  app.add_option("--label", f->label, "Words of your own, which lists can be filtered by");
  app.add_option("--max-seconds", f->max_seconds, "Of one attempt");
  app.add_option("--max-memory-bytes", f->max_memory_bytes, "Of all processes of the job");
}

void AddShape(CLI::App& app, SubmitFlags* f) {
  app.add_option("--model", f->model, "Name of a model of the controller")->required();
  app.add_option("--topology", f->topology, "Name of a topology of the controller")->required();
  app.add_option("--hop-latency", f->hop_latency, "Preset A, B or C");
  app.add_option("--context", f->context, "Positions of a sequence");
}

void AddModel(CLI::App& app, SubmitFlags* f) {
  AddShape(app, f);
  app.add_option("--tokens", f->tokens, "How many tokens to generate at most")->required();
  app.add_option("--chips", f->chips, "Use the first N chips");
  app.add_option("--set", f->latencies, "Latency of `lockstep isa --assumptions`: NAME=VALUE")
      ->take_all();
  auto* chips_per_rank = app.add_option("--chips-per-rank", f->chips_per_rank, "Chips a process");
  app.add_option("--threads", f->threads, "All chips in one process with so many threads")
      ->excludes(chips_per_rank);
  app.add_flag("--timeline", f->timeline, "Keep the artifact timeline.json");
}

void AddGenerate(CLI::App& app, SubmitFlags* f) {
  AddModel(app, f);
  auto* prompt = app.add_option("--prompt", f->prompt, "Text");
  app.add_option("--prompt-ids", f->prompt_ids, "Ids: 1,403,407")->excludes(prompt);
  app.add_flag("--ignore-eos", f->ignore_eos, "Go on after the end-of-text id");
  app.add_option("--temperature", f->temperature, "Sample at this temperature");
  app.add_option("--top-k", f->top_k, "Sample among the k likeliest tokens");
  app.add_option("--top-p", f->top_p, "Sample among the fewest tokens of this probability");
  app.add_option("--seed", f->seed, "Seed of the sampler");
  app.add_flag("--logits", f->logits, "Keep the artifact logits.f32");
}

v1::Machine MachineOf(const SubmitFlags& f) {
  v1::Machine machine;
  machine.set_topology(f.topology);
  if (f.chips) machine.set_chips(*f.chips);
  if (f.hop_latency) machine.set_hop_latency(*f.hop_latency);
  for (const std::string& latency : f.latencies) machine.add_latencies(latency);
  return machine;
}

template <typename Job>
void TakeModel(const SubmitFlags& f, Job* job) {
  job->set_model(f.model);
  *job->mutable_machine() = MachineOf(f);
  job->set_tokens(f.tokens);
  if (f.context) job->set_context(*f.context);
  if (f.chips_per_rank) job->mutable_placement()->set_chips_per_rank(*f.chips_per_rank);
  if (f.threads) job->mutable_placement()->set_threads(*f.threads);
  job->set_keep_timeline(f.timeline);
}

absl::StatusOr<v1::JobSpec> GenerateSpec(const SubmitFlags& f) {
  v1::JobSpec spec;
  v1::GenerateJob& job = *spec.mutable_generate();
  TakeModel(f, &job);
  if (f.prompt) job.set_prompt(*f.prompt);
  if (!f.prompt_ids.empty()) {
    const absl::StatusOr<std::vector<int>> ids = ParseIds(f.prompt_ids);
    if (!ids.ok()) return AsUsage(ids.status());
    job.mutable_prompt_ids()->mutable_ids()->Add(ids->begin(), ids->end());
  }
  job.set_ignore_eos(f.ignore_eos);
  v1::Sampling& sampling = *job.mutable_sampling();
  if (f.temperature) sampling.set_temperature(*f.temperature);
  if (f.top_k) sampling.set_top_k(*f.top_k);
  if (f.top_p) sampling.set_top_p(*f.top_p);
  if (f.seed) sampling.set_seed(*f.seed);
  job.set_keep_logits(f.logits);
  return spec;
}

absl::StatusOr<v1::JobSpec> RunSpec(const SubmitFlags& f) {
  v1::JobSpec spec;
  TakeModel(f, spec.mutable_run());
  spec.mutable_run()->set_prompt_tokens(f.prompt_tokens);
  return spec;
}

absl::StatusOr<v1::JobSpec> PlanSpec(const SubmitFlags& f) {
  v1::JobSpec spec;
  v1::PlanJob& job = *spec.mutable_plan();
  job.set_model(f.model);
  *job.mutable_machine() = MachineOf(f);
  if (f.context) job.set_context(*f.context);
  return spec;
}

absl::StatusOr<v1::JobSpec> ValidateSpec(const SubmitFlags& f) {
  v1::JobSpec spec;
  spec.mutable_validate();
  for (const std::string& id : f.only) spec.mutable_validate()->add_only(id);
  for (const std::string& l : f.latencies) spec.mutable_validate()->add_latencies(l);
  return spec;
}

absl::StatusOr<v1::JobSpec> SpecOfFile(const SubmitFlags& f) {
  std::string text;
  if (f.spec_file == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::ifstream in(f.spec_file, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(in), {});
    if (!in) return absl::NotFoundError(absl::StrCat("cannot read ", f.spec_file));
  }
  v1::JobSpec spec;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &spec);
  if (status.ok()) return spec;
  return absl::InvalidArgumentError(
      absl::StrCat(f.spec_file, ": no JobSpec in JSON: ", std::string(status.message())));
}

absl::StatusOr<v1::Job> Submit(Connection& connection, const SubmitFlags& f, v1::JobSpec spec) {
  v1::SubmitRequest request;
  request.set_request_id(f.request_id.empty() ? NewRequestId() : f.request_id);
  if (!f.label.empty()) spec.set_label(f.label);
  if (f.max_seconds) spec.set_max_seconds(*f.max_seconds);
  if (f.max_memory_bytes) spec.set_max_memory_bytes(*f.max_memory_bytes);
  *request.mutable_spec() = std::move(spec);
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
  ASSIGN_OR_RETURN(const v1::JobSpec spec, GenerateSpec(f));
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

using SpecMaker = absl::StatusOr<v1::JobSpec> (*)(const SubmitFlags&);

CLI::App* AddKind(CLI::App& parent, const char* name, const char* help,
                  const std::shared_ptr<SubmitFlags>& flags, SpecMaker make, absl::Status* result) {
  CLI::App* kind = parent.add_subcommand(name, help);
  AddCommon(*kind, flags.get());
  kind->add_flag("--wait", flags->wait, "Show what happens until the job has ended");
  kind->callback([flags, make, result] { *result = RunSubmit(*flags, make(*flags)); });
  return kind;
}

}  // namespace

void AddSubmitCommands(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<SubmitFlags>();
  CLI::App* submit = app.add_subcommand("submit", "Give a job to a controller; prints its id");
  submit->require_subcommand(1);
  AddGenerate(*AddKind(*submit, "generate", "Text of a model", flags, GenerateSpec, result),
              flags.get());
  CLI::App* run =
      AddKind(*submit, "run", "Cycles of a model: the timing engine", flags, RunSpec, result);
  AddModel(*run, flags.get());
  run->add_option("--prompt-tokens", flags->prompt_tokens, "Steps before the first new token");
  AddShape(*AddKind(*submit, "plan", "Where a model's parts would lie", flags, PlanSpec, result),
           flags.get());
  CLI::App* validate =
      AddKind(*submit, "validate", "Published figures, measured", flags, ValidateSpec, result);
  validate->add_option("--only", flags->only, "Figures: V5,V7")->delimiter(',');
  validate->add_option("--set", flags->latencies, "Latency: NAME=VALUE")->take_all();
  AddKind(*submit, "spec", "Any JobSpec of proto/lockstep/v1/job.proto, as JSON", flags, SpecOfFile,
          result)
      ->add_option("file", flags->spec_file, "File, or - for standard input")
      ->required();
  const auto own = std::make_shared<SubmitFlags>();
  CLI::App* generate =
      app.add_subcommand("generate", "Submit a generate job to a controller and show its text");
  AddCommon(*generate, own.get());
  AddGenerate(*generate, own.get());
  generate->add_flag("--report", own->report, "Also the report's table");
  generate->callback([own, result] { *result = RunGenerate(*own); });
}

}  // namespace lockstep
