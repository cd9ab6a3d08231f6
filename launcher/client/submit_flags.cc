// Flags of each kind of job, then what they make (launcher/client/submit_flags.h).
#include "launcher/client/submit_flags.h"

#include <google/protobuf/util/json_util.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/nccl/baseline.h"
#include "launcher/deployment_flags.h"
#include "launcher/exit_code.h"
#include "launcher/packing.h"
#include "runtime/comparison/message_sizes.h"
#include "runtime/run/run_options.h"

namespace lockstep {
namespace {

void AddShape(CLI::App& app, SpecFlags* f) {
  app.add_option("--model", f->model, "Name of a model of the controller")->required();
  app.add_option("--topology", f->topology, "Name of a topology of the controller")->required();
  app.add_option("--hop-latency", f->hop_latency, "Preset A, B or C");
  app.add_option("--context", f->context, "Positions of a sequence");
  app.add_option("--weights", f->weights, "Format of the layers' matrices: fp16 or int8");
  app.add_option("--sequences", f->sequences, "Sequences in flight");
  app.add_option("--nodes", f->nodes, "Stages of the pipeline, a node each");
  AddSharedFlags(app, &f->kv_cache, &f->failed);
}

void AddModel(CLI::App& app, SpecFlags* f) {
  AddShape(app, f);
  app.add_option("--tokens", f->tokens, "How many tokens to generate at most")->required();
  app.add_option("--chips", f->chips, "Use the first N chips of each node");
  app.add_option("--set", f->latencies, "Latency of `lockstep isa --assumptions`: NAME=VALUE")
      ->take_all();
  app.add_option("--prefill-batch", f->prefill_batch,
                 "Positions of the prompt that a program takes at once: 1, 2, 4, 8 or 16");
  app.add_option("--prompt-flight", f->prompt_flight,
                 "Over several stages: positions of the prompt that follow each other in one step");
  auto* chips_per_rank = app.add_option("--chips-per-rank", f->chips_per_rank,
                                        "Chips a process, or auto: as the controller's cores allow");
  app.add_option("--threads", f->threads, "All chips in one process with so many threads")
      ->excludes(chips_per_rank);
  app.add_flag("--timeline", f->timeline, "Keep the artifact timeline.json");
  app.add_option("--timeline-steps", f->timeline_steps, "Steps in the timeline (default 1)");
}

v1::Machine MachineOf(const SpecFlags& f) {
  v1::Machine machine;
  machine.set_topology(f.topology);
  if (f.chips) machine.set_chips(*f.chips);
  if (f.hop_latency) machine.set_hop_latency(*f.hop_latency);
  for (const std::string& latency : f.latencies) machine.add_latencies(latency);
  return machine;
}

// What jobs of a model have in common.
template <typename Job>
void TakeShape(const SpecFlags& f, Job* job) {
  job->set_model(f.model);
  *job->mutable_machine() = MachineOf(f);
  if (f.context) job->set_context(*f.context);
  if (f.weights) job->set_weights(*f.weights);
  if (f.kv_cache) job->set_kv_cache(*f.kv_cache);
  if (f.sequences) job->set_sequences(*f.sequences);
  if (f.nodes) job->set_nodes(*f.nodes);
  for (const std::string& node : f.failed) job->add_failed_nodes(node);
}

template <typename Job>
absl::Status TakeModel(const SpecFlags& f, Job* job) {
  TakeShape(f, job);
  job->set_tokens(f.tokens);
  if (f.prefill_batch) job->set_prefill_batch(*f.prefill_batch);
  if (f.prompt_flight) job->set_prompt_flight(*f.prompt_flight);
  job->set_keep_timeline(f.timeline);
  if (f.timeline_steps) job->set_timeline_steps(*f.timeline_steps);
  if (f.sram_limit) job->mutable_placement()->set_sram_limit_bytes(*f.sram_limit);
  if (f.threads) job->mutable_placement()->set_threads(*f.threads);
  if (!f.chips_per_rank) return absl::OkStatus();
  const absl::StatusOr<Packing> packing = ParsePacking(*f.chips_per_rank);
  if (!packing.ok()) return AsUsage(packing.status());
  if (packing->chips_per_rank) {
    job->mutable_placement()->set_chips_per_rank(*packing->chips_per_rank);
  } else {
    job->mutable_placement()->set_rank_per_core(true);
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::JobSpec> WithLimits(const SpecFlags& f, v1::JobSpec spec) {
  if (!f.label.empty()) spec.set_label(f.label);
  if (f.max_seconds) spec.set_max_seconds(*f.max_seconds);
  if (f.max_memory_bytes) spec.set_max_memory_bytes(*f.max_memory_bytes);
  return spec;
}

}  // namespace

void AddLimitFlags(CLI::App& app, SpecFlags* f) {
  app.add_option("--label", f->label, "Words of your own, which lists can be filtered by");
  app.add_option("--max-seconds", f->max_seconds, "Of one attempt");
  app.add_option("--max-memory-bytes", f->max_memory_bytes, "Of all processes of the job");
}

void AddGenerateFlags(CLI::App& app, SpecFlags* f) {
  AddModel(app, f);
  auto* prompt = app.add_option("--prompt", f->prompt, "Text");
  app.add_option("--prompt-ids", f->prompt_ids, "Ids: 1,403,407")->excludes(prompt);
  app.add_flag("--ignore-eos", f->ignore_eos, "Go on after the end-of-text id");
  app.add_option("--temperature", f->temperature, "Sample at this temperature");
  app.add_option("--top-k", f->top_k, "Sample among the k likeliest tokens");
  app.add_option("--top-p", f->top_p, "Sample among the fewest tokens of this probability");
  app.add_option("--seed", f->seed, "Seed of the sampler");
  app.add_flag("--logits", f->logits, "Keep the artifact logits.f32");
  app.add_option("--sram-limit", f->sram_limit,
                 "With --threads: hold at most N bytes of SRAM at once");
}

absl::StatusOr<v1::JobSpec> GenerateSpec(const SpecFlags& f) {
  v1::JobSpec spec;
  v1::GenerateJob& job = *spec.mutable_generate();
  RETURN_IF_ERROR(TakeModel(f, &job));
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
  return WithLimits(f, std::move(spec));
}

void AddRunJobFlags(CLI::App& app, SpecFlags* f) {
  AddModel(app, f);
  app.add_option("--prompt-tokens", f->prompt_tokens, "Steps before the first new token")
      ->capture_default_str();
}

absl::StatusOr<v1::JobSpec> RunSpec(const SpecFlags& f) {
  v1::JobSpec spec;
  RETURN_IF_ERROR(TakeModel(f, spec.mutable_run()));
  spec.mutable_run()->set_prompt_tokens(f.prompt_tokens);
  return WithLimits(f, std::move(spec));
}

void AddPlanFlags(CLI::App& app, SpecFlags* f) {
  AddShape(app, f);
  app.add_option("--tensor-parallel", f->chips, "Chips of a node that share a stage");
}

absl::StatusOr<v1::JobSpec> PlanSpec(const SpecFlags& f) {
  v1::JobSpec spec;
  TakeShape(f, spec.mutable_plan());
  return WithLimits(f, std::move(spec));
}

void AddSweepFlags(CLI::App& app, SpecFlags* f) { AddCompareFlags(app, &f->compare); }

absl::StatusOr<v1::JobSpec> SweepSpec(const SpecFlags& f) {
  const CompareFlags& c = f.compare;
  v1::JobSpec spec;
  v1::CollectiveSweepJob& job = *spec.mutable_collective_sweep();
  for (const std::string& kind : c.collectives) job.add_kinds(kind);
  const auto sizes = ParseMessageSizes(c.sizes, nccl::kMostBytes);
  if (!sizes.ok()) return AsUsage(sizes.status());
  for (const int64_t bytes : *sizes) job.add_bytes(bytes);
  job.set_baseline(c.baseline);
  job.set_gpus(c.gpus);
  job.set_baseline_only(c.baseline_only);
  if (!c.baseline_only) job.mutable_machine()->set_topology(c.topology);
  if (c.check) {
    const auto bytes = ParseMessageSize(*c.check, nccl::kMostBytes);
    if (!bytes.ok()) return AsUsage(bytes.status());
    job.set_check_bytes(*bytes);
  }
  if (c.version) job.set_nccl_version(*c.version);
  if (c.launch) job.set_launch(*c.launch);
  if (c.algorithm) job.set_algorithm(*c.algorithm);
  if (c.protocol) job.set_protocol(*c.protocol);
  return WithLimits(f, std::move(spec));
}

void AddCollectiveJobFlags(CLI::App& app, SpecFlags* f) {
  app.add_option("--kind", f->collective_kind, "all_reduce, reduce_scatter, all_gather, broadcast, "
                                               "all_to_all, sendrecv")
      ->capture_default_str();
  app.add_option("--topology", f->topology, "Name of a topology of the controller")->required();
  app.add_option("--bytes", f->bytes, "Of the whole message, 4 an fp32 element")->required();
  app.add_option("--chips", f->chips, "Only the first N chips (default: all)");
  app.add_option("--hop-latency", f->hop_latency, "Preset A, B or C");
  app.add_option("--algorithm", f->algorithm, "trees, exchange, relay, routes or auto");
  app.add_option("--set", f->latencies, "Latency: NAME=VALUE")->take_all();
  app.add_flag("--check-values", f->check_values, "Functional engine; results are checked");
}

absl::StatusOr<v1::JobSpec> CollectiveSpec(const SpecFlags& f) {
  v1::JobSpec spec;
  v1::CollectiveJob& job = *spec.mutable_collective();
  *job.mutable_machine() = MachineOf(f);
  job.set_kind(f.collective_kind);
  job.set_bytes(f.bytes);
  job.set_check_values(f.check_values);
  if (f.algorithm) job.set_algorithm(*f.algorithm);
  return WithLimits(f, std::move(spec));
}

void AddValidateFlags(CLI::App& app, SpecFlags* f) {
  app.add_option("--only", f->only, "Figures: V5,V7")->delimiter(',');
  app.add_option("--set", f->latencies, "Latency: NAME=VALUE")->take_all();
}

absl::StatusOr<v1::JobSpec> ValidateSpec(const SpecFlags& f) {
  v1::JobSpec spec;
  spec.mutable_validate();
  for (const std::string& id : f.only) spec.mutable_validate()->add_only(id);
  for (const std::string& l : f.latencies) spec.mutable_validate()->add_latencies(l);
  return WithLimits(f, std::move(spec));
}

void AddFileFlags(CLI::App& app, SpecFlags* f) {
  app.add_option("file", f->spec_file, "File, or - for standard input")->required();
}

absl::StatusOr<v1::JobSpec> SpecOfFile(const SpecFlags& f) {
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
  if (status.ok()) return WithLimits(f, std::move(spec));
  return absl::InvalidArgumentError(
      absl::StrCat(f.spec_file, ": no JobSpec in JSON: ", std::string(status.message())));
}

}  // namespace lockstep
