// Jobs that run a model: `lockstep run` with either engine (runtime/jobs/request.h).
#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "chip/check.h"
#include "runtime/jobs/needs.h"
#include "runtime/jobs/request_parts.h"
#include "runtime/machine/topology_file.h"
#include "runtime/model/model_source.h"
#include "runtime/run/run_setup.h"

namespace lockstep {
namespace {

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
      {"--tensor-parallel", "machine.chips"},
      {"--set", "machine.latencies"},
      {"--nodes", "nodes"},
      {"--sequences", "sequences"},
      {"--weights", "weights"},
      {"--kv", "kv_cache"},
      {"KV cache in", "kv_cache"},
      {"--failed", "failed_nodes"},
      {"no node", "failed_nodes"},
      {"--sram-limit", "placement.sram_limit_bytes"},
      {"--prefill-batch", "prefill_batch"},
      {"--prompt-flight", "prompt_flight"},
      {"--timeline-steps", "timeline_steps"},
      {"--timeline", "keep_timeline"},
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

absl::Status TakePlacement(const v1::Placement& placement, const std::string& kind,
                           RunOptions* options) {
  const std::string field = absl::StrCat("spec.", kind, ".placement.");
  switch (placement.kind_case()) {
    case v1::Placement::kThreads:
      options->transport = TransportKind::kLocal;
      options->threads = placement.threads();
      break;
    case v1::Placement::kChipsPerRank:
      options->chips_per_rank = placement.chips_per_rank();
      break;
    case v1::Placement::kRankPerCore:
      if (!placement.rank_per_core()) {
        return FieldError(field + "rank_per_core", "has no effect when false; leave it out");
      }
      options->pack_chips = true;
      break;
    case v1::Placement::KIND_NOT_SET:
      break;
  }
  if (placement.has_sram_limit_bytes()) options->sram_limit = placement.sram_limit_bytes();
  return absl::OkStatus();
}

// What generate and run jobs have in common. Names are looked up last.
template <typename Job>
absl::Status TakeRun(const Job& job, const std::string& kind, const JobRoots& roots,
                     RunOptions* options) {
  RETURN_IF_ERROR(TakePlacement(job.placement(), kind, options));
  RETURN_IF_ERROR(TakeDeployment(job, kind, options));
  if (job.tokens() < 1 || job.tokens() > kMaxTokens) {
    return FieldError(absl::StrCat("spec.", kind, ".tokens"),
                      absl::StrCat(job.tokens(), ": 1..", kMaxTokens));
  }
  options->tokens = job.tokens();
  if (job.has_context()) options->context = job.context();
  if (job.has_prefill_batch()) options->prefill_batch = job.prefill_batch();
  if (job.has_prompt_flight()) options->prompt_flight = job.prompt_flight();
  if (job.keep_timeline()) options->timeline = "timeline.json";
  if (job.has_timeline_steps()) options->timeline_steps = job.timeline_steps();
  RETURN_IF_ERROR(TakeModel(job.model(), kind, roots, options));
  return TakeMachine(job.machine(), kind, roots, options);
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

// The setup of a run is made once to check it, and again by the process that runs it.
absl::StatusOr<PreparedJob> PrepareModelRun(RunOptions options, const std::string& kind,
                                            const JobRoots& roots, const HostLimits& limits) {
  absl::StatusOr<RunSetup> setup = PrepareRun(options, roots.topologies);
  if (!setup.ok()) return RefusedBy(setup.status(), kind, roots);
  if (setup->prompt_ids.size() > kMaxPromptIds) {
    return FieldError(absl::StrCat("spec.", kind, ".prompt"),
                      absl::StrCat(setup->prompt_ids.size(), " ids; at most ", kMaxPromptIds));
  }
  if (options.pack_chips) {
    options.pack_chips = setup->options.pack_chips = false;
    options.chips_per_rank = setup->options.chips_per_rank =
        (setup->chips() + limits.cores - 1) / limits.cores;
  }
  PreparedJob job;
  job.needs = EstimateNeeds(*setup, limits.cores);
  options.prompt.reset();
  options.prompt_ids = setup->prompt_ids;
  options.report = "report.json";
  options.table = "table.txt";
  options.links = "links.csv";
  options.quiet = options.progress = true;
  job.command.stdout_is_text = true;
  job.command.arguments = RankArguments(options);
  job.command.arguments.insert(job.command.arguments.begin(), "run");
  if (options.transport == TransportKind::kLocal) {
    job.command.arguments.push_back("--transport=local");
    job.command.arguments.push_back(absl::StrCat("--threads=", options.threads.value_or(1)));
    if (options.sram_limit) {
      job.command.arguments.push_back(absl::StrCat("--sram-limit=", *options.sram_limit));
    }
  }
  for (const std::string& file :
       {options.report, options.table, options.links, options.timeline, options.logits}) {
    if (!file.empty()) job.command.artifacts.push_back(file);
  }
  return job;
}

}  // namespace

absl::Status RefusedBy(const absl::Status& status, const std::string& kind, const JobRoots& roots) {
  return FieldError(FieldOfMessage(status.message(), kind), WithoutRoots(status.message(), roots));
}

absl::Status CheckDeployment(const RunOptions& options, const std::string& kind,
                             const JobRoots& roots) {
  const auto check = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const ModelConfig model, FindModelShape(options.model));
    ASSIGN_OR_RETURN(TopologySpec spec, LoadTopology(options.topology, roots.topologies));
    ASSIGN_OR_RETURN(const Topology topology, Topology::Create(std::move(spec)));
    return MakeRequest(options.Deployment(), model, 1, topology).status();
  };
  const absl::Status status = check();
  return status.ok() ? status : RefusedBy(status, kind, roots);
}

absl::StatusOr<PreparedJob> PrepareGenerate(const v1::GenerateJob& job, const JobRoots& roots,
                                            const HostLimits& limits) {
  const std::string kind = "generate";
  RunOptions options;
  RETURN_IF_ERROR(TakeRun(job, kind, roots, &options));
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
  options.ignore_eos = job.ignore_eos();
  const v1::Sampling& sampling = job.sampling();
  if (sampling.has_temperature()) options.temperature = sampling.temperature();
  if (sampling.has_top_k()) options.top_k = sampling.top_k();
  if (sampling.has_top_p()) options.top_p = sampling.top_p();
  if (sampling.has_seed()) options.seed = sampling.seed();
  if (job.keep_logits()) options.logits = "logits.f32";
  return PrepareModelRun(std::move(options), kind, roots, limits);
}

absl::StatusOr<PreparedJob> PrepareTimingRun(const v1::RunJob& job, const JobRoots& roots,
                                             const HostLimits& limits) {
  const std::string kind = "run";
  RunOptions options;
  options.engine = EngineKind::kTiming;
  RETURN_IF_ERROR(TakeRun(job, kind, roots, &options));
  if (job.prompt_tokens() < 0 || job.prompt_tokens() > kMaxPromptIds) {
    return FieldError("spec.run.prompt_tokens",
                      absl::StrCat(job.prompt_tokens(), ": 0..", kMaxPromptIds));
  }
  // Cycles do not depend on the ids.
  options.prompt_ids.emplace(std::max(1, job.prompt_tokens()), 0);
  return PrepareModelRun(std::move(options), kind, roots, limits);
}

}  // namespace lockstep
