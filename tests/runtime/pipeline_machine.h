#pragma once
// Pipelines of small models on racks, for tests of what spans several nodes.

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "fabric/local_fabric.h"
#include "runtime/compiler/pipeline.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/verify.h"
#include "runtime/run/session.h"
#include "tests/runtime/random_model.h"

namespace lockstep {

inline Topology Rack(int cables = 4) {
  TopologySpec spec;
  spec.name = "rack";
  spec.node.chips = 8;
  spec.rack = GroupRule{9, 1, cables, cables, {CableKind::kQsfpCopper, 2000}};
  return *Topology::Create(spec);
}

inline ModelConfig Model(int layers, int hidden) {
  ModelConfig m;
  m.architecture = "LlamaForCausalLM";
  m.hidden_size = hidden, m.intermediate_size = 191, m.layers = layers, m.head_dim = 16;
  m.heads = 6, m.kv_heads = 2, m.vocab_size = 105, m.max_positions = 256;
  return m;
}

// One node a stage, in order; rows of the embedding on the first `embeds` stages, of the head on
// the last `heads`.
inline Deployment Deploy(const ModelConfig& model, int stages, int embeds, int heads, int chips = 8,
                         int sequences = 1, NumberFormat kv_cache = NumberFormat::kFp16,
                         NumberFormat weights = NumberFormat::kFp16) {
  Deployment d{*MakePlan(model, chips, 20, sequences, weights, kv_cache), {}, {}};
  const auto part = [](int total, int parts, int i) {
    return i < 0 || i >= parts ? Range{} : Range{total * i / parts, total * (i + 1) / parts};
  };
  for (int s = 0; s < stages; ++s) {
    Deployment::Stage stage{NodeId(s),
                            {},
                            part(model.layers, stages, s),
                            part(model.vocab_size, embeds, s),
                            part(model.vocab_size, heads, s - (stages - heads))};
    for (int c = 0; c < chips; ++c) stage.chips.push_back(ChipId(8 * s + c));
    d.stages.push_back(stage);
  }
  return d;
}

struct Machine {
  Machine(const Deployment& deployment, const ChipTiming& timing, const Topology& of,
          const char* preset = LinkModel::kDefaultPreset.data())
      : topology(of),
        links(*MakeLinks(topology, preset)),
        timing(timing),
        pipeline(*MakePipeline(deployment, topology, links, timing)),
        wiring(*MakeWiring(topology, static_cast<int>(pipeline.LastChip()) + 1, links, timing)) {}
  Machine(const Deployment& deployment, const ChipTiming& timing,
          const char* preset = LinkModel::kDefaultPreset.data(), int cables = 4)
      : Machine(deployment, timing, Rack(cables), preset) {}

  // Logits of a few tokens, of each sequence from an id of its own on; empty with the timing
  // engine.
  std::vector<std::vector<float>> Run(EngineKind engine, const Checkpoint* weights, int threads,
                                      const std::vector<int>& first = {7},
                                      std::optional<int64_t> sram_limit = {}) {
    auto fabric = LocalFabric::Create(wiring, threads);
    SessionSetup setup{pipeline, timing, engine};
    if (sram_limit) setup.limit = SessionSetup::Limit{*sram_limit, wiring};
    auto session = Session::Create(setup, fabric->get(), weights, nullptr);
    EXPECT_TRUE(session.ok()) << session.status();
    std::vector<std::vector<float>> logits;
    for (int position = 0; position < 3; ++position) {
      std::vector<FedToken> fed;
      for (int id : first) fed.push_back({(position * 41 + id) % 105, position});
      const auto step = (*session)->Step(fed);
      EXPECT_TRUE(step.ok()) << step.status();
      if (step.ok()) logits.push_back(*step);
    }
    digest = (*session)->TimingDigest();
    touched = (*session)->SramBytesTouched();
    return logits;
  }
  absl::StatusOr<FabricSchedule> Verify() {
    auto compiled = *CompiledPipeline::Create(pipeline, timing);
    auto verified = Verify(*compiled);
    roles = compiled->roles();
    return verified;
  }
  absl::StatusOr<FabricSchedule> Verify(CompiledPipeline& compiled) {
    return VerifyLaunches(LaunchesOfAll(compiled), std::vector<int64_t>(wiring.chips(), 0), wiring,
                          timing);
  }
  std::vector<Launches> LaunchesOfAll(CompiledPipeline& compiled) const {
    std::vector<Launches> launches;
    for (uint32_t chip = 0; chip < wiring.chips(); ++chip) {
      launches.push_back(LaunchesOf(*compiled.PartsOf(chip)));
    }
    return launches;
  }

  const Topology topology;
  const LinkModel links;
  const ChipTiming timing;
  const Pipeline pipeline;
  const Wiring wiring;
  uint64_t digest = 0;
  int64_t touched = 0;  // bytes of SRAM
  size_t roles = 0;
};

inline int64_t LargestStage(const CompiledPipeline& compiled) {
  int64_t largest = 0;
  for (const PipelinePart& part : compiled.parts()) {
    largest = std::max(largest, part.sram.total() * 8);
  }
  return largest;
}

inline Deployment InFlight(Deployment d, int positions, int batch = 1, int inbox = 0) {
  d.plan.flight = positions, d.plan.batch = batch, d.plan.inbox = inbox;
  return d;
}

// Ids of a prompt, of each sequence from an id of its own on, `whole` of them in steps of as many
// as the plan has, then two one by one: logits of all steps.
inline std::vector<std::vector<float>> RunSteps(Machine& machine, EngineKind engine,
                                                const Checkpoint* weights, int threads, int whole,
                                                std::optional<int64_t> sram_limit = {},
                                                const std::vector<int>& first = {7}) {
  auto fabric = LocalFabric::Create(machine.wiring, threads);
  SessionSetup setup{machine.pipeline, machine.timing, engine};
  if (sram_limit) setup.limit = SessionSetup::Limit{*sram_limit, machine.wiring};
  auto session = Session::Create(setup, fabric->get(), weights, nullptr);
  EXPECT_TRUE(session.ok()) << session.status();
  std::vector<std::vector<float>> logits;
  for (int position = 0; position < whole + 2;) {
    std::vector<FedToken> fed;
    const int count = position < whole ? machine.pipeline.plan.prompt_positions() : 1;
    for (int id : first) {
      for (int i = position; i < position + count; ++i) fed.push_back({(i * 41 + id) % 105, i});
    }
    position += count;
    const auto step = (*session)->Step(fed);
    EXPECT_TRUE(step.ok()) << step.status();
    if (step.ok()) logits.push_back(*step);
  }
  machine.digest = (*session)->TimingDigest();
  machine.touched = (*session)->SramBytesTouched();
  return logits;
}

// Of the last three: the one that ends the prompt, and the two.
template <typename... Args>
std::vector<std::vector<float>> RunPrompt(Args&&... args) {
  std::vector<std::vector<float>> logits = RunSteps(std::forward<Args>(args)...);
  if (logits.size() > 3) logits.erase(logits.begin(), logits.end() - 3);
  return logits;
}

}  // namespace lockstep
