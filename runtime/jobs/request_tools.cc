// Jobs that one process of `lockstep` does, its standard output being the table
// (runtime/jobs/request.h).
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "chip/check.h"
#include "fabric/nccl/baseline.h"
#include "fabric/nccl/call.h"
#include "runtime/comparison/gpu_machine_file.h"
#include "runtime/files/strict_json.h"
#include "runtime/jobs/request_parts.h"
#include "runtime/validation/validate.h"

namespace lockstep {
namespace {

constexpr int64_t kOneProcessBytes = 256 << 20;
constexpr int kMaxSizes = 64;

PreparedJob WithTable(JobCommand command, const std::string& report) {
  PreparedJob job;
  command.stdout_file = "table.txt";
  command.artifacts = {report, "table.txt"};
  job.command = std::move(command);
  job.needs.set_ranks(1);
  job.needs.set_cores(1);
  job.needs.set_memory_bytes(kOneProcessBytes);
  return job;
}

absl::Status NoEffect(bool given, const std::string& field) {
  return given ? FieldError(field, "has no effect here") : absl::OkStatus();
}

}  // namespace

// Planning looks at shapes and wires alone: no processes but one, nothing in SRAM.
absl::StatusOr<PreparedJob> PreparePlan(const v1::PlanJob& job, const JobRoots& roots) {
  const std::string kind = "plan";
  RunOptions options;
  options.engine = EngineKind::kTiming;
  RETURN_IF_ERROR(TakeModel(job.model(), kind, roots, &options));
  RETURN_IF_ERROR(TakeMachine(job.machine(), kind, roots, &options));
  RETURN_IF_ERROR(NoEffect(options.chips.has_value(), "spec.plan.machine.chips"));
  RETURN_IF_ERROR(NoEffect(!options.latencies.empty(), "spec.plan.machine.latencies"));
  static constexpr absl::string_view kPresets[] = {"A", "B", "C"};
  if (options.hop_latency && std::find(std::begin(kPresets), std::end(kPresets),
                                       *options.hop_latency) == std::end(kPresets)) {
    return FieldError("spec.plan.machine.hop_latency",
                      absl::StrCat(Quoted(*options.hop_latency), " is no preset: A, B, C"));
  }
  if (job.has_context() && job.context() < 1) {
    return FieldError("spec.plan.context", absl::StrCat(job.context(), ": at least 1"));
  }
  JobCommand command;
  command.arguments = {"plan", "--json=report.json", "--model=" + options.model,
                       "--topology=" + options.topology, "--topology-dir=" + roots.topologies};
  if (options.hop_latency) command.arguments.push_back("--hop-latency=" + *options.hop_latency);
  if (job.has_context()) command.arguments.push_back(absl::StrCat("--context=", job.context()));
  return WithTable(std::move(command), "report.json");
}

// One collective of our side and of a simulated baseline, by size.
absl::StatusOr<PreparedJob> PrepareSweep(const v1::CollectiveSweepJob& job, const JobRoots& roots) {
  const std::string field = "spec.collective_sweep.";
  RunOptions options;
  RETURN_IF_ERROR(TakeMachine(job.machine(), "collective_sweep", roots, &options));
  RETURN_IF_ERROR(NoEffect(options.chips.has_value(), field + "machine.chips"));
  RETURN_IF_ERROR(NoEffect(!options.latencies.empty(), field + "machine.latencies"));
  RETURN_IF_ERROR(NoEffect(options.hop_latency.has_value(), field + "machine.hop_latency"));
  if (job.kinds_size() != 1) {
    return FieldError(field + "kinds", absl::StrCat(job.kinds_size(), " kinds; one a job"));
  }
  const auto kind = nccl::OperationByName(job.kinds(0));
  if (!kind.ok()) return FieldError(field + "kinds", kind.status().message());
  if (job.bytes_size() < 1 || job.bytes_size() > kMaxSizes) {
    return FieldError(field + "bytes", absl::StrCat(job.bytes_size(), " sizes; 1..", kMaxSizes));
  }
  for (const int64_t bytes : job.bytes()) {
    if (bytes < 1 || bytes > nccl::kMostBytes) {
      return FieldError(field + "bytes", absl::StrCat(bytes, ": 1..", nccl::kMostBytes));
    }
  }
  const std::vector<std::string> known = KnownGpuMachines(roots.topologies);
  if (std::find(known.begin(), known.end(), job.baseline()) == known.end()) {
    return FieldError(field + "baseline", absl::StrCat(Quoted(job.baseline()), ": there are ",
                                                       absl::StrJoin(known, ", ")));
  }
  JobCommand command;
  command.arguments = {"compare",
                       "--csv=report.csv",
                       "--collective=" + job.kinds(0),
                       "--sizes=" + absl::StrJoin(job.bytes(), ","),
                       "--topology=" + options.topology,
                       "--baseline=" + job.baseline(),
                       "--topology-dir=" + roots.topologies};
  return WithTable(std::move(command), "report.csv");
}

absl::StatusOr<PreparedJob> PrepareValidate(const v1::ValidateJob& job, const JobRoots& roots) {
  const std::vector<std::string> known = ValidationIds();
  for (const std::string& id : job.only()) {
    if (std::find(known.begin(), known.end(), id) == known.end()) {
      return FieldError("spec.validate.only",
                        absl::StrCat(Quoted(id), ": there are ", absl::StrJoin(known, " ")));
    }
  }
  if (job.only_size() > static_cast<int>(known.size())) {
    return FieldError("spec.validate.only", "names a figure twice");
  }
  RETURN_IF_ERROR(CheckLatencies(job.latencies(), "spec.validate.latencies"));
  JobCommand command;
  command.arguments = {"validate", "--json=report.json", "--topology-dir=" + roots.topologies};
  if (job.only_size() > 0) command.arguments.push_back("--only=" + absl::StrJoin(job.only(), ","));
  for (const std::string& latency : job.latencies())
    command.arguments.push_back("--set=" + latency);
  return WithTable(std::move(command), "report.json");
}

}  // namespace lockstep
