// One collective over a topology: `lockstep collective` (runtime/jobs/request.h).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "chip/check.h"
#include "fabric/nccl/baseline.h"
#include "fabric/topology.h"
#include "runtime/collectives/collective_kind.h"
#include "runtime/files/strict_json.h"
#include "runtime/jobs/request_parts.h"
#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

constexpr int64_t kBaseBytes = 128 << 20;
constexpr int64_t kMostEstimate = int64_t{6}
                                  << 30;  // beyond it a collective is refused as too large

std::string Of(absl::string_view name) { return absl::StrCat("spec.collective.", name); }

absl::Status InOwnField(const absl::Status& status, absl::string_view name) {
  return status.ok() ? status : FieldError(Of(name), status.message());
}

absl::StatusOr<int> ChipsOf(const RunOptions& options, const JobRoots& roots) {
  ASSIGN_OR_RETURN(TopologySpec spec, LoadTopology(options.topology, roots.topologies));
  ASSIGN_OR_RETURN(const Topology topology, Topology::Create(std::move(spec)));
  if (!options.chips) return topology.num_chips();
  RETURN_IF_ERROR(topology.Subset(*options.chips).status());
  return *options.chips;
}

}  // namespace

int64_t CollectiveBytes(CollectiveKind kind, int64_t bytes, int chips) {
  // Measured: 0.9 B of the host a byte and chip where chips share programs (8 MiB on a rack), 3.3
  // where each has its own (32 MiB of send/receive on a node).
  const bool shared = kind == CollectiveKind::kAllReduce || kind == CollectiveKind::kAllGather ||
                      kind == CollectiveKind::kReduceScatter;
  const int64_t each = std::max<int64_t>(bytes, 1280) * (shared ? 1 : 4);
  return kBaseBytes + std::min(each, kMostEstimate / chips) * chips;
}

absl::StatusOr<PreparedJob> PrepareCollective(const v1::CollectiveJob& job, const JobRoots& roots) {
  const auto kind = CollectiveByName(absl::StrReplaceAll(job.kind(), {{"_", "-"}}));
  if (!kind.ok()) return FieldError(Of("kind"), kind.status().message());
  if (job.bytes() < 1 || job.bytes() > nccl::kMostBytes) {
    return FieldError(Of("bytes"), absl::StrCat(job.bytes(), ": 1..", nccl::kMostBytes));
  }
  if (job.has_algorithm()) {
    RETURN_IF_ERROR(InOwnField(AlgorithmByName(job.algorithm()).status(), "algorithm"));
  }
  RunOptions options;
  RETURN_IF_ERROR(TakeMachine(job.machine(), "collective", roots, &options));
  RETURN_IF_ERROR(CheckPreset(options.hop_latency, Of("machine.hop_latency")));
  const absl::StatusOr<int> chips = ChipsOf(options, roots);
  if (!chips.ok()) return FieldError(Of("machine.chips"), chips.status().message());
  JobCommand command;
  std::vector<std::string>& out = command.arguments;
  out = {"collective",
         "--report=report.json",
         "--links=links.csv",
         "--kind=" + job.kind(),
         absl::StrCat("--bytes=", job.bytes()),
         "--topology=" + options.topology,
         "--topology-dir=" + roots.topologies};
  if (options.chips) out.push_back(absl::StrCat("--chips=", *options.chips));
  if (options.hop_latency) out.push_back("--hop-latency=" + *options.hop_latency);
  for (const std::string& latency : options.latencies) out.push_back("--set=" + latency);
  if (job.has_algorithm()) out.push_back("--algorithm=" + job.algorithm());
  if (job.check_values()) out.push_back("--engine=functional");
  const int64_t values = job.check_values() ? 3 * job.bytes() * *chips : 0;
  PreparedJob prepared =
      WithTable(std::move(command), "report.json",
                CollectiveBytes(*kind, job.bytes(), *chips) + std::min(values, kMostEstimate));
  prepared.command.artifacts.push_back("links.csv");
  return prepared;
}

}  // namespace lockstep
