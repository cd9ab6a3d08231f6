#pragma once
// What a user says of a job on the command line, and the JobSpec that it makes. The flags are those
// of the command that the job stands for; the controller checks their values.

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launcher/compare_flags.h"
#include "lockstep/v1/job.pb.h"

namespace lockstep {

struct SpecFlags {
  std::string label;
  std::optional<int> max_seconds;
  std::optional<int64_t> max_memory_bytes;

  std::string model, topology, prompt_ids, spec_file;
  std::optional<std::string> prompt, hop_latency, weights, kv_cache, chips_per_rank;
  std::optional<int> chips, nodes, sequences, context, threads, prefill_batch, prompt_flight,
      timeline_steps, top_k;
  std::optional<int64_t> sram_limit;
  std::optional<double> temperature, top_p;
  std::optional<uint64_t> seed;
  std::vector<std::string> latencies, failed, only;
  int tokens = 0, prompt_tokens = 1;
  bool ignore_eos = false, logits = false, timeline = false;
  CompareFlags compare;
  std::string collective_kind = "all_reduce";
  std::optional<std::string> algorithm;
  int64_t bytes = 0;
  bool check_values = false;
};

// Label and limits, which jobs of all kinds have.
void AddLimitFlags(CLI::App& app, SpecFlags* flags);

// The flags of one kind, and its spec. Errors are of usage (launcher/exit_code.h), but for a file
// that cannot be read.
void AddGenerateFlags(CLI::App& app, SpecFlags* flags);
absl::StatusOr<v1::JobSpec> GenerateSpec(const SpecFlags& flags);
void AddRunJobFlags(CLI::App& app, SpecFlags* flags);
absl::StatusOr<v1::JobSpec> RunSpec(const SpecFlags& flags);
void AddPlanFlags(CLI::App& app, SpecFlags* flags);
absl::StatusOr<v1::JobSpec> PlanSpec(const SpecFlags& flags);
void AddSweepFlags(CLI::App& app, SpecFlags* flags);
absl::StatusOr<v1::JobSpec> SweepSpec(const SpecFlags& flags);
void AddCollectiveJobFlags(CLI::App& app, SpecFlags* flags);
absl::StatusOr<v1::JobSpec> CollectiveSpec(const SpecFlags& flags);
void AddValidateFlags(CLI::App& app, SpecFlags* flags);
absl::StatusOr<v1::JobSpec> ValidateSpec(const SpecFlags& flags);
// Any JobSpec, as JSON in a file.
void AddFileFlags(CLI::App& app, SpecFlags* flags);
absl::StatusOr<v1::JobSpec> SpecOfFile(const SpecFlags& flags);

}  // namespace lockstep
