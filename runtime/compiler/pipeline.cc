// Stages, routes between them, roles and starts (runtime/compiler/pipeline.h).
#include "runtime/compiler/pipeline.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/compiler/stage_routes.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/verify.h"

namespace lockstep {
namespace {

absl::Status TheyMeet(const PipelinePart& last, const PipelinePart& part, uint32_t chip) {
  const bool relays = last.shape.relay != nullptr || part.shape.relay != nullptr;
  return absl::InvalidArgumentError(
      absl::StrCat("stage ", part.stage, ": a part of its step starts in cycle ", part.start,
                   ", the one before ends in cycle ", last.end,
                   relays ? absl::StrCat(" (chip", chip, " passes on a transfer of stage ",
                                         (part.shape.relay ? part : last).stage, " in one of them)")
                          : "",
                   "; use fewer stages"));
}

}  // namespace

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

absl::StatusOr<std::shared_ptr<CompiledPipeline>> CompiledPipeline::Create(Pipeline pipeline,
                                                                           const ChipTiming& timing,
                                                                           Step step, int threads,
                                                                           Ways ways) {
  std::shared_ptr<CompiledPipeline> out(
      new CompiledPipeline(std::move(pipeline), timing, step, ways));
  for (size_t s = 0; s < out->pipeline_.stages.size(); ++s) {
    const std::vector<uint32_t>& chips = out->pipeline_.stages[s].chips;
    for (size_t m = 0; m < chips.size(); ++m) {
      out->seats_.emplace(chips[m], Seat{static_cast<int>(s), static_cast<int>(m)});
    }
  }
  out->ListParts();
  if (threads > 0) RETURN_IF_ERROR(out->CompileAll(threads));
  RETURN_IF_ERROR(out->SetStarts(out->parts_));
  out->latency_ = out->cycles();
  if (out->pipeline_.plan.sequences == 1) return out;
  out->Repeat();
  if (threads > 0) RETURN_IF_ERROR(out->CompileAll(threads));
  return out;
}

// A step is one row of parts, each receiving from the one before.
void CompiledPipeline::ListParts() {
  const std::vector<PipelineStage>& stages = pipeline_.stages;
  const int last = static_cast<int>(stages.size()) - 1;
  const auto embeds = [&](int s) { return stages[s].shape.embedding.size() > 0; };
  const auto heads = [&](int s) { return stages[s].shape.head.size() > 0; };
  int deepest = 0, first_head = last;
  for (int s = 0; s <= last; ++s) {
    if (embeds(s)) deepest = s;
    if (heads(last - s)) first_head = last - s;
  }
  for (int s = deepest; s > 0; --s) {
    const NodeRoute* in = s < deepest ? &pipeline_.backward[s] : nullptr;
    AddPart(s, {embeds(s), in, false, &pipeline_.backward[s - 1], false});
  }
  for (int s = 0; s <= last; ++s) {
    PartShape part{s == 0 && embeds(0), nullptr, true, nullptr, s == last && heads(s)};
    if (s > 0) part.receive = &Forward(s - 1);
    if (s == 0 && deepest > 0) part.receive = &pipeline_.backward[0];
    if (s < last) part.send = &Forward(s);
    if (s == last && first_head < last) part.send = &pipeline_.backward[s - 1];
    part.to_head = s == last;
    AddPart(s, part);
  }
  for (int s = last - 1; s >= first_head; --s) {
    const NodeRoute* out = s > first_head ? &pipeline_.backward[s - 1] : nullptr;
    PartShape part{false, &pipeline_.backward[s], false, out, heads(s)};
    part.to_head = true;
    AddPart(s, part);
  }
}

// Takes the hidden vectors of all positions to the next stage.
const NodeRoute& CompiledPipeline::Forward(int stage) const {
  const int words = batch() * pipeline_.plan.hidden_words();
  const bool spread = ways_ == Ways::kSpread && pipeline_.spread[stage].Gain(words) > 0;
  return spread ? pipeline_.spread[stage] : pipeline_.forward[stage];
}

// The part, and what third chips do of the transfer that it sends.
void CompiledPipeline::AddPart(int stage, const PartShape& shape) {
  PipelinePart part{stage, shape};
  part.chips = pipeline_.stages[stage].chips;
  parts_.push_back(part);
  if (shape.send == nullptr || shape.send->relay_chips().empty()) return;
  part.shape = {};
  part.shape.relay = shape.send, part.shape.to_head = shape.to_head;
  part.chips = shape.send->relay_chips();
  parts_.push_back(part);
}

// A part starts so that it receives what the one before it sends, or, where it goes on with what
// that one left on its node, as soon as that is done.
absl::Status CompiledPipeline::SetStarts(std::vector<PipelinePart>& row) {
  int64_t first_sent = 0, earliest = 0, done = 0;
  for (PipelinePart& part : row) {
    ASSIGN_OR_RETURN(const std::shared_ptr<const Role> role, RoleOf(part, 0));
    const bool receives = part.shape.receive != nullptr || part.shape.relay != nullptr;
    part.start = receives ? first_sent - role->compiled.received_from : done;
    part.end = part.start + std::max(role->schedule->end, role->compiled.moved_until + 1);
    part.weight_stream_bytes = role->compiled.weight_stream_bytes;
    if (part.shape.relay == nullptr) part.sram = role->compiled.layout.use;
    first_sent = part.start + role->compiled.sent_from;
    earliest = std::min(earliest, part.start);
    done = part.end + DrainCycles(timing_);
  }
  std::map<uint32_t, const PipelinePart*> before;
  for (PipelinePart& part : row) {
    part.start -= earliest, part.end -= earliest;
    for (uint32_t chip : part.chips) {
      const PipelinePart*& last = before[chip];
      if (last != nullptr && part.start < last->end + DrainCycles(timing_)) {
        return TheyMeet(*last, part, chip);
      }
      last = &part;
    }
  }
  return absl::OkStatus();
}

int64_t CompiledPipeline::cycles() const {
  int64_t end = 0;
  for (const PipelinePart& part : parts_) end = std::max(end, part.end);
  return end;
}

std::optional<CompiledPipeline::Seat> CompiledPipeline::SeatOf(uint32_t chip) const {
  const auto at = seats_.find(chip);
  if (at == seats_.end()) return std::nullopt;
  return at->second;
}

}  // namespace lockstep
