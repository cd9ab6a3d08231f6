#pragma once
// Deployment: which node of a topology holds which part of a model. Tensor parallel over the chips
// of a node, a pipeline of stages over nodes:
//
//   stage 0           1           ...        n-1
//   node 0.0 ==hidden==> node 0.1 ==> ... ==> node 9.7      each ==> a cable, if there is one
//   layers [0,1)      [1,2)                  [79,80)
//   embedding rows on the first stages       head rows on the last ones
//
// Layers are balanced by the bytes that a step moves, not by operations. Rows of the vocabulary are
// spread over as few stages as have room for them. Spare nodes stay free until a node has failed.
// The same value on every host.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/topology.h"
#include "runtime/compiler/plan.h"
#include "runtime/compiler/stage.h"
#include "runtime/compiler/stage_size.h"
#include "runtime/files/number_format.h"
#include "runtime/model/model_config.h"

namespace lockstep {

struct DeploymentRequest {
  ModelConfig model;
  NumberFormat weights = NumberFormat::kFp16, kv_cache = NumberFormat::kFp16;
  int context = 1;                          // positions of a sequence
  int sequences = 1;                        // in flight, each with a KV cache of its own
  std::optional<int> tensor_parallel = {};  // chips a stage; absent: all of a node, at most 8
  std::optional<int> nodes = {};            // stages; absent: the fewest that have room
  std::vector<NodeId> failed = {};          // nodes that must not be used
  int batch = 1;  // positions of a prompt at once, for which all stages must have room
};

struct Deployment {
  struct Stage {
    NodeId node;
    std::vector<ChipId> chips;  // in the order of ranks
    Range layers;               // of the model, at least one
    Range embedding, head;      // rows of the vocabulary; may be empty
    bool operator==(const Stage&) const = default;
    StageShape shape() const { return {layers, embedding, head}; }
    StageParts parts() const { return {layers.size(), embedding.size(), head.size()}; }
  };

  Plan plan;                        // of every stage's chips: heads and rows of one shard, batch
  std::vector<Stage> stages;        // in the order of the pipeline
  std::vector<NodeId> free_spares;  // spare nodes that hold nothing and have not failed
  std::vector<NodeId> failed = {};  // nodes that must not be used, not even on the way

  std::vector<StageShape> shapes() const {
    std::vector<StageShape> out;
    for (const Stage& stage : stages) out.push_back(stage.shape());
    return out;
  }
  int tensor_parallel() const { return plan.chips; }
  int num_stages() const { return static_cast<int>(stages.size()); }
  int num_chips() const { return num_stages() * tensor_parallel(); }
  StageSize SizeOf(const Stage& stage) const { return SizeOfStage(plan, stage.parts()); }

  // Of everything above: ranks compare it before they start.
  uint64_t Digest() const;
};

// Errors name the number that is wrong: MakePlan's; a node whose chips are not all cabled to each
// other; a stage or a model that has no room (with the bytes); too few nodes; two failed nodes in a
// rack with one spare.
absl::StatusOr<Deployment> MakeDeployment(const DeploymentRequest& request,
                                          const Topology& topology);

}  // namespace lockstep
