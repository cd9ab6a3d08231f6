#pragma once
// What the functions of request.cc and request_tools.cc share.

#include <string>

#include "runtime/jobs/request.h"
#include "runtime/run/run_options.h"

namespace lockstep {

// Topology, chips, hop latency and latencies into `options`. Errors name "spec.<kind>.machine...".
absl::Status TakeMachine(const v1::Machine& machine, const std::string& kind, const JobRoots& roots,
                         RunOptions* options);

// The model of that name into `options`; with weights if its engine needs them.
absl::Status TakeModel(const std::string& name, const std::string& kind, const JobRoots& roots,
                       RunOptions* options);

absl::Status CheckLatencies(const google::protobuf::RepeatedPtrField<std::string>& latencies,
                            const std::string& field);

// Kinds that are one process of `lockstep` each, with report and table.
absl::StatusOr<PreparedJob> PreparePlan(const v1::PlanJob& job, const JobRoots& roots);
absl::StatusOr<PreparedJob> PrepareSweep(const v1::CollectiveSweepJob& job, const JobRoots& roots);
absl::StatusOr<PreparedJob> PrepareValidate(const v1::ValidateJob& job, const JobRoots& roots);

}  // namespace lockstep
