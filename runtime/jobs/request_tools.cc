// Jobs that one process of `lockstep` does, its standard output being the table
// (runtime/jobs/request.h).
#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "chip/check.h"
#include "fabric/nccl/baseline.h"
#include "fabric/nccl/call.h"
#include "runtime/comparison/compare.h"
#include "runtime/comparison/gpu_machine_file.h"
#include "runtime/files/strict_json.h"
#include "runtime/jobs/request_parts.h"
#include "runtime/validation/validate.h"

namespace lockstep {
namespace {

// Measured by bench/job_memory.py, rounded up.
constexpr int64_t kPlanBytes = 512 << 20, kValidateBytes = 512 << 20, kBaselineBytes = 128 << 20;
constexpr int kMaxSizes = 64;

absl::Status NoEffect(bool given, const std::string& field) {
  return given ? FieldError(field, "has no effect here") : absl::OkStatus();
}

absl::Status AtLeastOne(int value, bool given, const std::string& field) {
  if (!given || value >= 1) return absl::OkStatus();
  return FieldError(field, absl::StrCat(value, ": at least 1"));
}

using Arguments = std::vector<std::string>;

// The path of a field of a sweep.
std::string OfSweep(absl::string_view name) { return absl::StrCat("spec.collective_sweep.", name); }

// Which collectives, which sizes.
absl::Status TakeSweep(const v1::CollectiveSweepJob& job, Arguments* out) {
  std::set<nccl::Operation> kinds;
  for (const std::string& name : job.kinds()) {
    const auto kind = nccl::OperationByName(name);
    if (!kind.ok()) return FieldError(OfSweep("kinds"), kind.status().message());
    if (!kinds.insert(*kind).second) return FieldError(OfSweep("kinds"), name + " is given twice");
  }
  if (kinds.empty()) return FieldError(OfSweep("kinds"), "at least one is needed");
  if (job.bytes_size() < 1 || job.bytes_size() > kMaxSizes) {
    return FieldError(OfSweep("bytes"), absl::StrCat(job.bytes_size(), " sizes; 1..", kMaxSizes));
  }
  for (const int64_t bytes : job.bytes()) {
    if (bytes < 1 || bytes > nccl::kMostBytes) {
      return FieldError(OfSweep("bytes"), absl::StrCat(bytes, ": 1..", nccl::kMostBytes));
    }
  }
  out->push_back("--collective=" + absl::StrJoin(job.kinds(), ","));
  out->push_back("--sizes=" + absl::StrJoin(job.bytes(), ","));
  return absl::OkStatus();
}

absl::Status TakeOurSide(const v1::CollectiveSweepJob& job, const JobRoots& roots, Arguments* out) {
  if (job.baseline_only()) {
    RETURN_IF_ERROR(NoEffect(job.has_machine(), OfSweep("machine")));
    RETURN_IF_ERROR(NoEffect(job.has_check_bytes(), OfSweep("check_bytes")));
    out->push_back("--baseline-only");
    return absl::OkStatus();
  }
  RunOptions options;
  RETURN_IF_ERROR(TakeMachine(job.machine(), "collective_sweep", roots, &options));
  RETURN_IF_ERROR(NoEffect(options.chips.has_value(), OfSweep("machine.chips")));
  RETURN_IF_ERROR(NoEffect(!options.latencies.empty(), OfSweep("machine.latencies")));
  RETURN_IF_ERROR(NoEffect(options.hop_latency.has_value(), OfSweep("machine.hop_latency")));
  out->push_back("--topology=" + options.topology);
  if (!job.has_check_bytes()) return absl::OkStatus();
  if (job.check_bytes() < 1 || job.check_bytes() > kRoundBytes) {
    return FieldError(OfSweep("check_bytes"),
                      absl::StrCat(job.check_bytes(), ": 1..", kRoundBytes));
  }
  out->push_back(absl::StrCat("--check=", job.check_bytes()));
  return absl::OkStatus();
}

// How the baseline is made: what of it is wrong is named by whoever reads it.
absl::Status TakeBaseline(const v1::CollectiveSweepJob& job, const JobRoots& roots,
                          Arguments* out) {
  const auto take = [out](bool given, const char* field, const char* flag, const std::string& value,
                          const absl::Status& status) -> absl::Status {
    if (!given) return absl::OkStatus();
    if (!status.ok()) return FieldError(OfSweep(field), status.message());
    out->push_back(absl::StrCat(flag, "=", value));
    return absl::OkStatus();
  };
  const auto in = [](bool good, const std::string& value, const char* allowed) {
    return good ? absl::OkStatus()
                : absl::InvalidArgumentError(absl::StrCat(Quoted(value), ": ", allowed));
  };
  const int gpus = job.gpus();
  const std::string number = absl::StrCat(gpus);
  RETURN_IF_ERROR(take(job.has_gpus(), "gpus", "--gpus", number,
                       in(gpus == 2 || gpus == 4 || gpus == 8, number, "2, 4 or 8")));
  RETURN_IF_ERROR(take(job.has_nccl_version(), "nccl_version", "--nccl-version", job.nccl_version(),
                       nccl::Version::Parse(job.nccl_version()).status()));
  RETURN_IF_ERROR(take(job.has_launch(), "launch", "--launch", job.launch(),
                       in(job.launch() == "mpi" || job.launch() == "one-process", job.launch(),
                          "mpi or one-process")));
  RETURN_IF_ERROR(take(job.has_algorithm(), "algorithm", "--algorithm", job.algorithm(),
                       nccl::AlgorithmByName(job.algorithm()).status()));
  RETURN_IF_ERROR(take(job.has_protocol(), "protocol", "--protocol", job.protocol(),
                       nccl::ProtocolByName(job.protocol()).status()));
  const std::vector<std::string> known = KnownGpuMachines(roots.topologies);
  if (std::find(known.begin(), known.end(), job.baseline()) == known.end()) {
    return FieldError(OfSweep("baseline"), absl::StrCat(Quoted(job.baseline()), ": there are ",
                                                        absl::StrJoin(known, ", ")));
  }
  out->push_back("--baseline=" + job.baseline());
  return absl::OkStatus();
}

}  // namespace

PreparedJob WithTable(JobCommand command, const std::string& report, int64_t memory_bytes) {
  PreparedJob job;
  command.stdout_file = "table.txt";
  command.artifacts = {report, "table.txt"};
  job.command = std::move(command);
  job.needs.set_ranks(1);
  job.needs.set_cores(1);
  job.needs.set_memory_bytes(memory_bytes);
  return job;
}

absl::Status CheckPreset(const std::optional<std::string>& preset, const std::string& field) {
  if (!preset || *preset == "A" || *preset == "B" || *preset == "C") return absl::OkStatus();
  return FieldError(field, absl::StrCat(Quoted(*preset), " is no preset: A, B, C"));
}

// Planning looks at shapes and wires alone: no processes but one, nothing in SRAM. What the
// topology has no room for is found by the job itself.
absl::StatusOr<PreparedJob> PreparePlan(const v1::PlanJob& job, const JobRoots& roots) {
  const std::string kind = "plan";
  RunOptions options;
  options.engine = EngineKind::kTiming;
  RETURN_IF_ERROR(TakeDeployment(job, kind, &options));
  RETURN_IF_ERROR(AtLeastOne(job.context(), job.has_context(), "spec.plan.context"));
  RETURN_IF_ERROR(TakeModel(job.model(), kind, roots, &options));
  RETURN_IF_ERROR(TakeMachine(job.machine(), kind, roots, &options));
  RETURN_IF_ERROR(NoEffect(!options.latencies.empty(), "spec.plan.machine.latencies"));
  RETURN_IF_ERROR(CheckDeployment(options, kind, roots));
  RETURN_IF_ERROR(CheckPreset(options.hop_latency, "spec.plan.machine.hop_latency"));
  JobCommand command;
  command.arguments = {"plan", "--json=report.json", "--model=" + options.model,
                       "--topology=" + options.topology, "--topology-dir=" + roots.topologies};
  std::vector<std::string>& out = command.arguments;
  const auto number = [&out](const char* name, const std::optional<int>& value) {
    if (value) out.push_back(absl::StrCat(name, *value));
  };
  if (options.hop_latency) out.push_back("--hop-latency=" + *options.hop_latency);
  if (job.has_context()) number("--context=", job.context());
  if (job.has_weights()) out.push_back("--weights=" + job.weights());
  if (options.kv_cache) out.push_back("--kv=" + *options.kv_cache);
  number("--sequences=", options.sequences);
  number("--tensor-parallel=", options.chips);
  number("--nodes=", options.nodes);
  for (const std::string& node : options.failed) out.push_back("--failed=" + node);
  return WithTable(std::move(command), "report.json", kPlanBytes);
}

// Collectives of our side and of a simulated baseline, by size.
absl::StatusOr<PreparedJob> PrepareSweep(const v1::CollectiveSweepJob& job, const JobRoots& roots) {
  JobCommand command;
  std::vector<std::string>& out = command.arguments;
  out = {"compare", "--csv=report.csv", "--svg=report.svg", "--topology-dir=" + roots.topologies};
  RETURN_IF_ERROR(TakeSweep(job, &out));
  RETURN_IF_ERROR(TakeBaseline(job, roots, &out));
  RETURN_IF_ERROR(TakeOurSide(job, roots, &out));
  // Rounds of a node, of a kind whose chips have programs of their own.
  const int64_t round =
      std::min(*std::max_element(job.bytes().begin(), job.bytes().end()), kRoundBytes);
  PreparedJob prepared = WithTable(
      std::move(command), "report.csv",
      job.baseline_only() ? kBaselineBytes : CollectiveBytes(CollectiveKind::kSendRecv, round, 8));
  prepared.command.artifacts.push_back("report.svg");
  return prepared;
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
  return WithTable(std::move(command), "report.json", kValidateBytes);
}

}  // namespace lockstep
