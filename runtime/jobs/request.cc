// One function a kind; what they share comes first (runtime/jobs/request.h).
#include "runtime/jobs/request.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "chip/check.h"
#include "runtime/files/strict_json.h"
#include "runtime/jobs/request_parts.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/topology_file.h"
#include "runtime/run/run_setup.h"

namespace lockstep {
namespace {

constexpr int kMaxLatencies = 64;
constexpr size_t kMaxLatencyBytes = 128, kMaxLabelBytes = 128, kMaxRequestIdBytes = 128;

// Estimates of what one process and one chip hold beside weights and KV cache; measured with
// models/story, rounded up. A weight is fp16, and tiles are padded.
constexpr int64_t kRankBytes = 32 << 20, kChipBytes = 4 << 20, kTimingChipBytes = 8 << 20;
constexpr double kBytesPerParameter = 2.6;

// The field of a message of `lockstep run`: of the first thing in it that came from one.
std::string FieldOfMessage(absl::string_view message, const std::string& kind) {
  static constexpr std::pair<absl::string_view, absl::string_view> kFields[] = {
      {"--tokens", "tokens"},
      {"--temperature", "sampling.temperature"},
      {"--top-k", "sampling.top_k"},
      {"--top-p", "sampling.top_p"},
      {"top_k", "sampling.top_k"},
      {"top_p", "sampling.top_p"},
      {"temperature", "sampling.temperature"},
      {"--seed", "sampling.seed"},
      {"--chips-per-rank", "placement.chips_per_rank"},
      {"--threads", "placement.threads"},
      {"--chips", "machine.chips"},
      {"--set", "machine.latencies"},
      {"hop latency", "machine.hop_latency"},
      {"--context", "context"},
      {"context of", "tokens"},
      {"prompt id ", "prompt_ids"},
      {"--prompt", "prompt"},
      {"topology", "machine.topology"},
      {"no link from", "machine.topology"},
  };
  size_t first = absl::string_view::npos;
  absl::string_view found;
  for (const auto& [words, field] : kFields) {
    const size_t at = message.find(words);
    if (at >= first) continue;
    first = at;
    found = field;
  }
  return absl::StrCat("spec.", kind, found.empty() ? "" : ".", found);
}

void TakePlacement(const v1::Placement& placement, RunOptions* options) {
  if (placement.kind_case() == v1::Placement::kThreads) {
    options->transport = TransportKind::kLocal;
    options->threads = placement.threads();
  } else if (placement.kind_case() == v1::Placement::kChipsPerRank) {
    options->chips_per_rank = placement.chips_per_rank();
  }
}

// No path of the host is the client's business.
std::string WithoutRoots(absl::string_view message, const JobRoots& roots) {
  std::string out(message);
  for (const std::string& root : roots.models) {
    std::error_code error;
    const std::string real = std::filesystem::canonical(root, error).string();
    if (!real.empty()) out = absl::StrReplaceAll(out, {{real + "/", ""}});
  }
  return absl::StrReplaceAll(out, {{roots.topologies + "/", ""}});
}

v1::Needs Estimate(const RunSetup& setup, int cores) {
  const bool local = setup.options.transport == TransportKind::kLocal;
  const Plan& plan = setup.session.pipeline.plan;
  const ModelConfig& model = plan.model;
  v1::Needs needs;
  needs.set_ranks(local ? 1 : setup.ranks());
  needs.set_cores(std::min(cores, local ? setup.options.threads.value_or(1) : setup.ranks()));
  int64_t bytes = needs.ranks() * kRankBytes;
  if (setup.options.engine == EngineKind::kFunctional) {
    // Keys and values of two bytes; the words of values are half ones
    // (runtime/kernels/attention.h).
    const int64_t cache = int64_t{6} * model.layers * model.kv_size() * plan.context;
    bytes += static_cast<int64_t>(kBytesPerParameter * model.ParameterCount()) + cache +
             setup.chips() * kChipBytes;
  } else {
    bytes += setup.chips() * kTimingChipBytes;
  }
  needs.set_memory_bytes(bytes);
  return needs;
}

absl::Status MustFit(const v1::JobSpec& spec, const v1::Needs& needs, const HostLimits& limits) {
  if (needs.ranks() > limits.ranks) {
    return absl::FailedPreconditionError(
        absl::StrCat("needs ", needs.ranks(), " processes, a job here may have ", limits.ranks,
                     "; give placement.chips_per_rank or placement.threads"));
  }
  const int64_t memory = spec.has_max_memory_bytes()
                             ? std::min(spec.max_memory_bytes(), limits.memory_bytes)
                             : limits.memory_bytes;
  if (needs.memory_bytes() <= memory) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "needs ", needs.memory_bytes(), " bytes of memory, a job here may have ", memory));
}

// The setup of a run is made once to check it, and again by the process that runs it.
absl::StatusOr<PreparedJob> PrepareModelRun(RunOptions options, const std::string& kind,
                                            const JobRoots& roots, const HostLimits& limits) {
  const absl::StatusOr<RunSetup> setup = PrepareRun(options, roots.topologies);
  if (!setup.ok()) {
    return FieldError(FieldOfMessage(setup.status().message(), kind),
                      WithoutRoots(setup.status().message(), roots));
  }
  if (setup->prompt_ids.size() > kMaxPromptIds) {
    return FieldError(absl::StrCat("spec.", kind, ".prompt"),
                      absl::StrCat(setup->prompt_ids.size(), " ids; at most ", kMaxPromptIds));
  }
  PreparedJob job;
  job.needs = Estimate(*setup, limits.cores);
  options.prompt.reset();
  options.prompt_ids = setup->prompt_ids;
  options.report = "report.json";
  options.table = "table.txt";
  options.quiet = options.progress = true;
  job.command.stdout_is_text = true;
  job.command.arguments = RankArguments(options);
  job.command.arguments.insert(job.command.arguments.begin(), "run");
  if (options.transport == TransportKind::kLocal) {
    job.command.arguments.push_back("--transport=local");
    job.command.arguments.push_back(absl::StrCat("--threads=", options.threads.value_or(1)));
  }
  for (const std::string& file :
       {options.report, options.table, options.timeline, options.logits}) {
    if (!file.empty()) job.command.artifacts.push_back(file);
  }
  return job;
}

absl::StatusOr<PreparedJob> PrepareGenerate(const v1::GenerateJob& job, const JobRoots& roots,
                                            const HostLimits& limits) {
  const std::string kind = "generate";
  RunOptions options;
  RETURN_IF_ERROR(TakeModel(job.model(), kind, roots, &options));
  RETURN_IF_ERROR(TakeMachine(job.machine(), kind, roots, &options));
  TakePlacement(job.placement(), &options);
  if (job.has_prompt()) {
    if (job.prompt().size() > kMaxPromptBytes) {
      return FieldError("spec.generate.prompt",
                        absl::StrCat(job.prompt().size(), " bytes; at most ", kMaxPromptBytes));
    }
    options.prompt = job.prompt();
  } else if (job.has_prompt_ids()) {
    if (job.prompt_ids().ids_size() > kMaxPromptIds) {
      return FieldError("spec.generate.prompt_ids",
                        absl::StrCat(job.prompt_ids().ids_size(), " ids; at most ", kMaxPromptIds));
    }
    options.prompt_ids.emplace(job.prompt_ids().ids().begin(), job.prompt_ids().ids().end());
  } else {
    return FieldError("spec.generate.prompt", "one of prompt and prompt_ids is needed");
  }
  if (job.tokens() < 1 || job.tokens() > kMaxTokens) {
    return FieldError("spec.generate.tokens", absl::StrCat(job.tokens(), ": 1..", kMaxTokens));
  }
  options.tokens = job.tokens();
  options.ignore_eos = job.ignore_eos();
  const v1::Sampling& sampling = job.sampling();
  if (sampling.has_temperature()) options.temperature = sampling.temperature();
  if (sampling.has_top_k()) options.top_k = sampling.top_k();
  if (sampling.has_top_p()) options.top_p = sampling.top_p();
  if (sampling.has_seed()) options.seed = sampling.seed();
  if (job.has_context()) options.context = job.context();
  if (job.keep_logits()) options.logits = "logits.f32";
  if (job.keep_timeline()) options.timeline = "timeline.json";
  return PrepareModelRun(std::move(options), kind, roots, limits);
}

absl::StatusOr<PreparedJob> PrepareTimingRun(const v1::RunJob& job, const JobRoots& roots,
                                             const HostLimits& limits) {
  const std::string kind = "run";
  RunOptions options;
  options.engine = EngineKind::kTiming;
  RETURN_IF_ERROR(TakeModel(job.model(), kind, roots, &options));
  RETURN_IF_ERROR(TakeMachine(job.machine(), kind, roots, &options));
  TakePlacement(job.placement(), &options);
  if (job.prompt_tokens() < 0 || job.prompt_tokens() > kMaxPromptIds) {
    return FieldError("spec.run.prompt_tokens",
                      absl::StrCat(job.prompt_tokens(), ": 0..", kMaxPromptIds));
  }
  if (job.tokens() < 1 || job.tokens() > kMaxTokens) {
    return FieldError("spec.run.tokens", absl::StrCat(job.tokens(), ": 1..", kMaxTokens));
  }
  // Cycles do not depend on the ids.
  options.prompt_ids.emplace(std::max(1, job.prompt_tokens()), 0);
  options.tokens = job.tokens();
  if (job.has_context()) options.context = job.context();
  if (job.keep_timeline()) options.timeline = "timeline.json";
  return PrepareModelRun(std::move(options), kind, roots, limits);
}

absl::Status CheckCommon(const v1::JobSpec& spec, const HostLimits& limits) {
  if (spec.label().size() > kMaxLabelBytes) {
    return FieldError("spec.label",
                      absl::StrCat(spec.label().size(), " bytes; at most ", kMaxLabelBytes));
  }
  if (spec.has_max_seconds() && (spec.max_seconds() < 1 || spec.max_seconds() > limits.seconds)) {
    return FieldError("spec.max_seconds",
                      absl::StrCat(spec.max_seconds(), ": 1..", limits.seconds));
  }
  if (spec.has_max_memory_bytes() && spec.max_memory_bytes() < 1) {
    return FieldError("spec.max_memory_bytes", absl::StrCat(spec.max_memory_bytes(), ": above 0"));
  }
  return absl::OkStatus();
}

absl::StatusOr<PreparedJob> PrepareKind(const v1::JobSpec& spec, const JobRoots& roots,
                                        const HostLimits& limits) {
  switch (spec.kind_case()) {
    case v1::JobSpec::kGenerate:
      return PrepareGenerate(spec.generate(), roots, limits);
    case v1::JobSpec::kPlan:
      return PreparePlan(spec.plan(), roots);
    case v1::JobSpec::kCollectiveSweep:
      return PrepareSweep(spec.collective_sweep(), roots);
    case v1::JobSpec::kRun:
      return PrepareTimingRun(spec.run(), roots, limits);
    case v1::JobSpec::kValidate:
      return PrepareValidate(spec.validate(), roots);
    case v1::JobSpec::KIND_NOT_SET:
      break;
  }
  return FieldError("spec", "no kind of job is given");
}

}  // namespace

absl::Status CheckLatencies(const google::protobuf::RepeatedPtrField<std::string>& latencies,
                            const std::string& field) {
  if (latencies.size() > kMaxLatencies) {
    return FieldError(field, absl::StrCat(latencies.size(), " entries; at most ", kMaxLatencies));
  }
  for (const std::string& latency : latencies) {
    if (latency.size() > kMaxLatencyBytes) {
      return FieldError(field, absl::StrCat(Quoted(latency), " is too long"));
    }
  }
  const std::vector<std::string> all(latencies.begin(), latencies.end());
  const auto timing = SetLatencies(ChipTiming::Default(), all);
  return timing.ok() ? absl::OkStatus() : FieldError(field, timing.status().message());
}

absl::Status TakeMachine(const v1::Machine& machine, const std::string& kind, const JobRoots& roots,
                         RunOptions* options) {
  const std::string field = absl::StrCat("spec.", kind, ".machine.");
  const std::string& name = machine.topology();
  if (!IsName(name) || absl::EndsWith(name, ".textproto")) {
    return FieldError(field + "topology", absl::StrCat(Quoted(name), " is no name of a topology"));
  }
  const std::vector<std::string> known = KnownTopologies(roots.topologies);
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    return FieldError(field + "topology", absl::StrCat("no topology ", name));
  }
  options->topology = name;
  options->topology_dir = roots.topologies;
  if (machine.has_chips()) options->chips = machine.chips();
  if (machine.has_hop_latency()) {
    if (machine.hop_latency().size() != 1) {
      return FieldError(field + "hop_latency",
                        absl::StrCat(Quoted(machine.hop_latency()), " is no preset: A, B, C"));
    }
    options->hop_latency = machine.hop_latency();
  }
  options->latencies.assign(machine.latencies().begin(), machine.latencies().end());
  return CheckLatencies(machine.latencies(), field + "latencies");
}

absl::Status TakeModel(const std::string& name, const std::string& kind, const JobRoots& roots,
                       RunOptions* options) {
  const absl::StatusOr<std::string> model =
      ResolveModel(roots, name, options->engine == EngineKind::kFunctional);
  if (!model.ok()) {
    return FieldError(absl::StrCat("spec.", kind, ".model"), model.status().message());
  }
  options->model = *model;
  return absl::OkStatus();
}

absl::Status FieldError(absl::string_view field, absl::string_view what) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

std::string FieldOf(const absl::Status& status) {
  const absl::optional<absl::Cord> field = status.GetPayload(kFieldPayload);
  return field ? std::string(*field) : "";
}

absl::Status CheckRequestId(absl::string_view request_id) {
  const bool good = std::all_of(request_id.begin(), request_id.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("._:-", c);
  });
  if (good && request_id.size() <= kMaxRequestIdBytes) return absl::OkStatus();
  return FieldError("request_id",
                    absl::StrCat("at most ", kMaxRequestIdBytes, " of A-Z a-z 0-9 . _ : -, not ",
                                 Quoted(std::string(request_id))));
}

std::vector<std::string> RunnableKinds() {
  return {"generate", "plan", "run", "collective_sweep", "validate"};
}

absl::StatusOr<PreparedJob> PrepareJob(const v1::JobSpec& spec, const JobRoots& roots,
                                       const HostLimits& limits) {
  RETURN_IF_ERROR(CheckCommon(spec, limits));
  ASSIGN_OR_RETURN(PreparedJob job, PrepareKind(spec, roots, limits));
  RETURN_IF_ERROR(MustFit(spec, job.needs, limits));
  return job;
}

}  // namespace lockstep
