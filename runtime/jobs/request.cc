// What all kinds of jobs share; request_run.cc and request_tools.cc have the kinds
// (runtime/jobs/request.h).
#include "runtime/jobs/request.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/files/strict_json.h"
#include "runtime/jobs/request_parts.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

constexpr int kMaxLatencies = 64, kMaxFailedNodes = 4096;
constexpr size_t kMaxLatencyBytes = 128, kMaxLabelBytes = 128, kMaxRequestIdBytes = 128,
                 kMaxNodeNameBytes = 16;

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
    case v1::JobSpec::kCollective:
      return PrepareCollective(spec.collective(), roots);
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

absl::Status CheckLatencies(const Strings& latencies, const std::string& field) {
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

absl::Status CheckNodeNames(const Strings& names, const std::string& field) {
  if (names.size() > kMaxFailedNodes) {
    return FieldError(field, absl::StrCat(names.size(), " entries; at most ", kMaxFailedNodes));
  }
  for (const std::string& name : names) {
    const bool good = std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '.';
    });
    if (good && !name.empty() && name.size() <= kMaxNodeNameBytes) continue;
    return FieldError(field, absl::StrCat(Quoted(name), " is no node: RACK.NODE, or NODE"));
  }
  return absl::OkStatus();
}

absl::StatusOr<NumberFormat> FormatByName(const std::string& name, const std::string& field) {
  for (const NumberFormat format : {NumberFormat::kFp16, NumberFormat::kInt8}) {
    if (name == NumberFormatName(format)) return format;
  }
  return FieldError(field, absl::StrCat(Quoted(name), ": fp16 or int8"));
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
  return {"generate", "plan", "run", "collective", "collective_sweep", "validate"};
}

absl::StatusOr<PreparedJob> PrepareJob(const v1::JobSpec& spec, const JobRoots& roots,
                                       const HostLimits& limits) {
  RETURN_IF_ERROR(CheckCommon(spec, limits));
  ASSIGN_OR_RETURN(PreparedJob job, PrepareKind(spec, roots, limits));
  RETURN_IF_ERROR(MustFit(spec, job.needs, limits));
  return job;
}

}  // namespace lockstep
