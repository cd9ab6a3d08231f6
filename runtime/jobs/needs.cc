#include "runtime/jobs/needs.h"

#include <algorithm>

namespace lockstep {
namespace {

// What a process and a chip hold beside weights and KV cache; bench/job_memory.py prints what jobs
// take beside this. Over MPI one process more compiles and waits. Tiles of weights are padded.
constexpr int64_t kProcessBytes = 32 << 20, kChipBytes = 3 << 20, kTimingChipBytes = 1 << 20;
constexpr double kBytesPerParameter = 2.6;

// Weights, and keys and values of two bytes; the words of values are half ones
// (runtime/kernels/attention.h).
int64_t HeldBytes(const RunSetup& setup) {
  const Plan& plan = setup.session.pipeline.plan;
  const ModelConfig& model = plan.model;
  const int64_t cache =
      int64_t{6} * model.layers * model.kv_size() * plan.context * plan.sequences;
  const int64_t all =
      static_cast<int64_t>(kBytesPerParameter * static_cast<double>(model.ParameterCount())) +
      cache;
  return setup.options.sram_limit ? std::min(all, *setup.options.sram_limit) : all;
}

}  // namespace

v1::Needs EstimateNeeds(const RunSetup& setup, int cores) {
  const bool local = setup.options.transport == TransportKind::kLocal;
  v1::Needs needs;
  needs.set_ranks(local ? 1 : setup.ranks());
  needs.set_cores(std::min(cores, local ? setup.options.threads.value_or(1) : setup.ranks()));
  int64_t bytes = (needs.ranks() + (local ? 0 : 1)) * kProcessBytes;
  if (setup.options.engine == EngineKind::kFunctional) {
    bytes += HeldBytes(setup) + setup.chips() * kChipBytes;
  } else {
    bytes += setup.chips() * kTimingChipBytes;
  }
  needs.set_memory_bytes(bytes);
  return needs;
}

}  // namespace lockstep
