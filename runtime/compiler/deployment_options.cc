// Checks and turns options into a request (runtime/compiler/deployment_options.h).
#include "runtime/compiler/deployment_options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "chip/check.h"
#include "chip/geometry.h"
#include "fabric/node_chain.h"
#include "runtime/compiler/prefill.h"

namespace lockstep {
namespace {

absl::StatusOr<NumberFormat> ParseFormat(absl::string_view option,
                                         const std::optional<std::string>& name) {
  if (!name || *name == "fp16") return NumberFormat::kFp16;
  if (*name == "int8") return NumberFormat::kInt8;
  return absl::InvalidArgumentError(absl::StrCat(option, " ", *name, ": fp16 or int8"));
}

}  // namespace

absl::Status ValidateDeploymentOptions(const DeploymentOptions& o) {
  RETURN_IF_ERROR(ParseFormat("--weights", o.weights).status());
  RETURN_IF_ERROR(ParseFormat("--kv", o.kv_cache).status());
  struct Number {
    const char* option;
    std::optional<int> value;
  };
  for (const Number& n :
       {Number{"--sequences", o.sequences}, Number{"--tensor-parallel", o.tensor_parallel},
        Number{"--nodes", o.nodes}}) {
    if (!n.value || *n.value >= 1) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(n.option, " ", *n.value, ": it must be at least 1"));
  }
  if (o.prefill_batch && (*o.prefill_batch < 1 || kMostPrefill % *o.prefill_batch != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--prefill-batch ", *o.prefill_batch, ": 1, 2, 4, 8 or ", kMostPrefill));
  }
  // Each has words of its own in a slice.
  if (o.sequences && *o.sequences > kWordsPerSlice) {
    return absl::InvalidArgumentError(absl::StrCat("--sequences ", *o.sequences, ": at most ",
                                                   kWordsPerSlice, ", the words of a slice"));
  }
  return absl::OkStatus();
}

absl::StatusOr<DeploymentRequest> MakeRequest(const DeploymentOptions& options,
                                              const ModelConfig& model, int context,
                                              const Topology& topology) {
  RETURN_IF_ERROR(ValidateDeploymentOptions(options));
  DeploymentRequest request;
  request.model = model;
  request.context = context;
  ASSIGN_OR_RETURN(request.weights, ParseFormat("--weights", options.weights));
  ASSIGN_OR_RETURN(request.kv_cache, ParseFormat("--kv", options.kv_cache));
  request.sequences = options.sequences.value_or(1);
  request.tensor_parallel = options.tensor_parallel;
  request.nodes = options.nodes;
  request.batch = options.prefill_batch.value_or(1);
  for (const std::string& name : options.failed) {
    ASSIGN_OR_RETURN(const NodeId node, ParseNodeName(topology, absl::StripPrefix(name, "node:")));
    if (std::find(request.failed.begin(), request.failed.end(), node) != request.failed.end()) {
      return absl::InvalidArgumentError(absl::StrCat("--failed ", name, ": given twice"));
    }
    request.failed.push_back(node);
  }
  return request;
}

}  // namespace lockstep
