#pragma once
// What the functions of request.cc, request_run.cc and request_tools.cc share.

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/collectives/collective_kind.h"
#include "runtime/jobs/request.h"
#include "runtime/run/run_options.h"

namespace lockstep {

// Topology, chips, hop latency and latencies into `options`. Errors name "spec.<kind>.machine...".
absl::Status TakeMachine(const v1::Machine& machine, const std::string& kind, const JobRoots& roots,
                         RunOptions* options);

// The model of that name into `options`; with weights if its engine needs them.
absl::Status TakeModel(const std::string& name, const std::string& kind, const JobRoots& roots,
                       RunOptions* options);

// Each names `field` when it refuses.
using Strings = google::protobuf::RepeatedPtrField<std::string>;
absl::Status CheckLatencies(const Strings& latencies, const std::string& field);
absl::Status CheckNodeNames(const Strings& names, const std::string& field);  // number and form
absl::StatusOr<NumberFormat> FormatByName(const std::string& name, const std::string& field);

// Formats, sequences, nodes of a job that has a model into `options`, which check them.
template <typename Job>
absl::Status TakeDeployment(const Job& job, const std::string& kind, RunOptions* options) {
  const std::string field = absl::StrCat("spec.", kind, ".");
  if (job.has_weights()) {
    ASSIGN_OR_RETURN(options->weights, FormatByName(job.weights(), field + "weights"));
  }
  if (job.has_kv_cache()) {
    RETURN_IF_ERROR(FormatByName(job.kv_cache(), field + "kv_cache").status());
    options->kv_cache = job.kv_cache();
  }
  if (job.has_sequences()) options->sequences = job.sequences();
  if (job.has_nodes()) options->nodes = job.nodes();
  RETURN_IF_ERROR(CheckNodeNames(job.failed_nodes(), field + "failed_nodes"));
  options->failed.assign(job.failed_nodes().begin(), job.failed_nodes().end());
  return absl::OkStatus();
}

// Whether formats, numbers and failed nodes of a job's options can be: not yet whether it has room.
absl::Status CheckDeployment(const RunOptions& options, const std::string& kind,
                             const JobRoots& roots);

// A refusal in the words of `lockstep`, as one of the field of which it speaks.
absl::Status RefusedBy(const absl::Status& status, const std::string& kind, const JobRoots& roots);

// Jobs that run a model.
absl::StatusOr<PreparedJob> PrepareGenerate(const v1::GenerateJob& job, const JobRoots& roots,
                                            const HostLimits& limits);
absl::StatusOr<PreparedJob> PrepareTimingRun(const v1::RunJob& job, const JobRoots& roots,
                                             const HostLimits& limits);

// `field` names a preset of hop latencies, or nothing.
absl::Status CheckPreset(const std::optional<std::string>& preset, const std::string& field);

// What a collective takes of the host, from its size and the number of chips.
int64_t CollectiveBytes(CollectiveKind kind, int64_t bytes, int chips);

// A job of one process whose standard output is table.txt.
PreparedJob WithTable(JobCommand command, const std::string& report, int64_t memory_bytes);

// Kinds that are one process of `lockstep` each, with report and table.
absl::StatusOr<PreparedJob> PreparePlan(const v1::PlanJob& job, const JobRoots& roots);
absl::StatusOr<PreparedJob> PrepareCollective(const v1::CollectiveJob& job, const JobRoots& roots);
absl::StatusOr<PreparedJob> PrepareSweep(const v1::CollectiveSweepJob& job, const JobRoots& roots);
absl::StatusOr<PreparedJob> PrepareValidate(const v1::ValidateJob& job, const JobRoots& roots);

}  // namespace lockstep
