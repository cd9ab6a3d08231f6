#pragma once
// What a user may say about how a model is spread over a topology, as plain values: the options
// that `lockstep plan` and `lockstep run` share.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/compiler/deployment.h"

namespace lockstep {

// Absent: not given, so that a default is never mistaken for a wish.
struct DeploymentOptions {
  std::optional<std::string> weights, kv_cache;  // "fp16" or "int8"
  std::optional<int> sequences;                  // in flight
  std::optional<int> tensor_parallel;            // chips a stage
  std::optional<int> nodes;                      // stages
  std::vector<std::string> failed;               // "3.5": node 5 of rack 3; "node:3.5" too
  // Positions of a prompt at once, for which all stages have room: 1, 2, 4, 8 or 16.
  std::optional<int> prefill_batch;

  bool operator==(const DeploymentOptions&) const = default;
};

// Ok, or InvalidArgument naming the option and its value. Looks at no topology.
absl::Status ValidateDeploymentOptions(const DeploymentOptions& options);

// The request that they make. Errors: ValidateDeploymentOptions'; a node that the topology does not
// have or that is named twice.
absl::StatusOr<DeploymentRequest> MakeRequest(const DeploymentOptions& options,
                                              const ModelConfig& model, int context,
                                              const Topology& topology);

}  // namespace lockstep
