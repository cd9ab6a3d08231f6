#include "runtime/jobs/needs.h"

#include <algorithm>

namespace lockstep {
namespace {

// Estimates of what one process and one chip hold beside weights and KV cache; measured with
// models/story, rounded up. A weight is fp16, and tiles are padded.
constexpr int64_t kRankBytes = 32 << 20, kChipBytes = 4 << 20, kTimingChipBytes = 8 << 20;
constexpr double kBytesPerParameter = 2.6;

}  // namespace

v1::Needs EstimateNeeds(const RunSetup& setup, int cores) {
  const bool local = setup.options.transport == TransportKind::kLocal;
  const Plan& plan = setup.session.pipeline.plan;
  const ModelConfig& model = plan.model;
  v1::Needs needs;
  needs.set_ranks(local ? 1 : setup.ranks());
  needs.set_cores(std::min(cores, local ? setup.options.threads.value_or(1) : setup.ranks()));
  int64_t bytes = needs.ranks() * kRankBytes;
  if (setup.options.engine == EngineKind::kFunctional) {
    // Keys and values of two bytes; the words of values are half ones
    // (runtime/kernels/attention.h).
    const int64_t cache = int64_t{6} * model.layers * model.kv_size() * plan.context;
    bytes += static_cast<int64_t>(kBytesPerParameter * model.ParameterCount()) + cache +
             setup.chips() * kChipBytes;
  } else {
    bytes += setup.chips() * kTimingChipBytes;
  }
  needs.set_memory_bytes(bytes);
  return needs;
}

}  // namespace lockstep
