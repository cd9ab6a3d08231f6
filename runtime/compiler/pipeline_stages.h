#pragma once
// The stages of a pipeline, a node each, and the cables between them; their programs are those of
// runtime/compiler/pipeline_programs.h.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "fabric/link_model.h"
#include "fabric/topology.h"
#include "runtime/compiler/deployment.h"
#include "runtime/kernels/collective.h"
#include "runtime/kernels/transfer.h"

namespace lockstep {

struct PipelineStage {
  StageShape shape;
  std::vector<uint32_t> chips;  // of the fabric, by member
  std::vector<Group> groups;    // by member
};

struct Pipeline {
  Plan plan;  // of the chips of each stage
  std::vector<PipelineStage> stages;
  std::vector<NodeRoute> forward;   // [s]: from stage s to s + 1
  std::vector<NodeRoute> backward;  // [s]: from stage s + 1 to s
  // [s]: forward, and ways over third chips beside it, for transfers of many positions.
  std::vector<NodeRoute> spread = {};

  // The highest number of a chip that has work, be it only to pass something on.
  uint32_t LastChip() const;
  // Of all that decides programs and images: ranks compare it before they start.
  uint64_t Digest() const;
};

// The group that `chips` of a topology form, as each of them sees it; all must be cabled to each
// other.
absl::StatusOr<std::vector<Group>> GroupsOf(const Topology& topology,
                                            const std::vector<uint32_t>& chips,
                                            const LinkModel& links);

// The whole model on one node whose members are chips 0, 1, ...
Pipeline OneStage(Plan plan, std::vector<Group> groups);

// Errors: stages that follow each other without any way between chips that they use.
absl::StatusOr<Pipeline> MakePipeline(const Deployment& deployment, const Topology& topology,
                                      const LinkModel& links, const ChipTiming& timing);

}  // namespace lockstep
