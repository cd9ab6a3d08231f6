#include "runtime/jobs/needs.h"

#include <algorithm>

namespace lockstep {
namespace {

// What a process and a chip hold beside weights and KV cache; bench/job_memory.py prints what jobs
// take beside this. Over MPI one process more compiles and waits. Tiles of weights are padded.
constexpr int64_t kProcessBytes = 32 << 20, kChipBytes = 3 << 20, kTimingChipBytes = 1 << 20;
constexpr double kBytesPerParameter = 2.6;
// Programs, of each sequence, where no stages share them: of a token's step, and of a batch's.
constexpr double kTokenBytesPerParameter = 0.03, kBatchBytesPerParameter = 0.07;
// A timeline holds what every unit did: it grows with the tiles of weights, less with the positions of
// a batch that go through each.
constexpr int64_t kTimelineChipBytes = 1 << 20;
constexpr double kTimelineBytesPerParameter = 0.7;
constexpr int kTimelineBatch = 8;  // so many positions more take as much again

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

int64_t ProgramBytes(const Plan& plan) {
  const double each =
      kTokenBytesPerParameter + (plan.batch > 1 ? kBatchBytesPerParameter : 0);
  return static_cast<int64_t>(each * plan.sequences *
                              static_cast<double>(plan.model.ParameterCount()));
}

int64_t TimelineBytes(const RunSetup& setup) {
  if (setup.options.timeline.empty()) return 0;
  const Plan& plan = setup.session.pipeline.plan;
  const double one = kTimelineBytesPerParameter * static_cast<double>(plan.model.ParameterCount());
  const double step = one * (kTimelineBatch + plan.batch - 1) / kTimelineBatch +
                      static_cast<double>(setup.chips() * kTimelineChipBytes);
  const int rows = plan.sequences * std::max(1, plan.flight / plan.batch);
  return static_cast<int64_t>(step * rows * setup.options.timeline_steps.value_or(1));
}

}  // namespace

v1::Needs EstimateNeeds(const RunSetup& setup, int cores) {
  const bool local = setup.options.transport == TransportKind::kLocal;
  v1::Needs needs;
  needs.set_ranks(local ? 1 : setup.ranks());
  needs.set_cores(std::min(cores, local ? setup.options.threads.value_or(1) : setup.ranks()));
  int64_t bytes = (needs.ranks() + (local ? 0 : 1)) * kProcessBytes +
                  ProgramBytes(setup.session.pipeline.plan);
  if (setup.options.engine == EngineKind::kFunctional) {
    bytes += HeldBytes(setup) + setup.chips() * kChipBytes;
  } else {
    bytes += setup.chips() * kTimingChipBytes;
  }
  needs.set_memory_bytes(bytes + TimelineBytes(setup));
  return needs;
}

}  // namespace lockstep
