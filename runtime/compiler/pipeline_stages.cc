// Groups, routes and digests of stages (runtime/compiler/pipeline_stages.h).
#include "runtime/compiler/pipeline_stages.h"

#include <xxhash.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/compiler/stage_routes.h"
#include "runtime/machine/machine.h"

namespace lockstep {

absl::StatusOr<std::vector<Group>> GroupsOf(const Topology& topology,
                                            const std::vector<uint32_t>& chips,
                                            const LinkModel& links) {
  const int size = static_cast<int>(chips.size());
  const int flight = FlightCycles(topology, links, Place::kNode);
  std::vector<Group> groups;
  for (int self = 0; self < size; ++self) {
    Group g{size, self, std::vector<int>(size, -1), flight};
    for (int m = 0; m < size; ++m) {
      if (m == self) continue;
      const std::vector<LinkId> there =
          topology.LinksBetween(ChipId(chips[self]), ChipId(chips[m]));
      if (there.empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat("topology ", topology.name(), ": no link from chip", chips[self],
                         " to chip", chips[m], "; tensor parallel needs fully connected chips"));
      }
      g.port[m] = topology.link(there.front()).from_port.value();
    }
    groups.push_back(std::move(g));
  }
  return groups;
}

uint32_t Pipeline::LastChip() const {
  uint32_t last = 0;
  for (const PipelineStage& stage : stages) {
    for (uint32_t chip : stage.chips) last = std::max(last, chip);
  }
  for (const std::vector<NodeRoute>* routes : {&forward, &backward}) {
    for (const NodeRoute& route : *routes) {
      for (uint32_t chip : route.relay_chips()) last = std::max(last, chip);
    }
  }
  return last;
}

uint64_t Pipeline::Digest() const {
  std::string all = absl::StrCat(absl::Hex(plan.Digest()));
  for (const PipelineStage& stage : stages) {
    for (const Range& r : {stage.shape.layers, stage.shape.embedding, stage.shape.head}) {
      absl::StrAppend(&all, ";", r.begin, "-", r.end);
    }
    for (size_t m = 0; m < stage.chips.size(); ++m) {
      absl::StrAppend(&all, ",", stage.chips[m], "@", stage.groups[m].flight_cycles);
    }
  }
  std::vector<const std::vector<NodeRoute>*> all_routes = {&forward, &backward};
  if (plan.batch > 1) all_routes.push_back(&spread);
  for (const std::vector<NodeRoute>* routes : all_routes) {
    for (const NodeRoute& route : *routes) {
      for (size_t m = 0; m < stages.front().chips.size(); ++m) {
        absl::StrAppend(&all, "|", route.SendPicture(static_cast<int>(m)),
                        route.ReceivePicture(static_cast<int>(m)));
      }
      for (size_t i = 0; i < route.relay_chips().size(); ++i) {
        absl::StrAppend(&all, "|", route.relay_chips()[i], route.RelayPicture(static_cast<int>(i)));
      }
    }
  }
  return XXH64(all.data(), all.size(), 0);
}

Pipeline OneStage(Plan plan, std::vector<Group> groups) {
  PipelineStage stage{WholeModel(plan.model), {}, std::move(groups)};
  for (uint32_t chip = 0; chip < stage.groups.size(); ++chip) stage.chips.push_back(chip);
  return {std::move(plan), {std::move(stage)}, {}, {}};
}

absl::StatusOr<Pipeline> MakePipeline(const Deployment& deployment, const Topology& topology,
                                      const LinkModel& links, const ChipTiming& timing) {
  Pipeline out{deployment.plan, {}, {}, {}};
  for (const Deployment::Stage& stage : deployment.stages) {
    PipelineStage made{{stage.layers, stage.embedding, stage.head}, {}, {}};
    for (ChipId chip : stage.chips) made.chips.push_back(chip.value());
    ASSIGN_OR_RETURN(made.groups, GroupsOf(topology, made.chips, links));
    out.stages.push_back(std::move(made));
  }
  std::vector<std::vector<Group>> groups;
  for (const PipelineStage& stage : out.stages) groups.push_back(stage.groups);
  StageRoutes routes(deployment, groups, topology, links, timing);
  for (int s = 0; s + 1 < static_cast<int>(out.stages.size()); ++s) {
    ASSIGN_OR_RETURN(NodeRoute there, routes.Between(s, s + 1));
    ASSIGN_OR_RETURN(NodeRoute back, routes.Between(s + 1, s));
    out.spread.push_back(routes.Spread(s, s + 1, there));
    out.forward.push_back(std::move(there));
    out.backward.push_back(std::move(back));
  }
  return out;
}

}  // namespace lockstep
