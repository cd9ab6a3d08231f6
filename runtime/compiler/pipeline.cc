// Parts of a step and their starts (runtime/compiler/pipeline.h).
#include "runtime/compiler/pipeline.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
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

absl::StatusOr<std::shared_ptr<CompiledPipeline>> CompiledPipeline::Create(Pipeline pipeline,
                                                                           const ChipTiming& timing,
                                                                           Step step, int threads,
                                                                           Ways ways) {
  const auto programs = std::make_shared<PipelinePrograms>(std::move(pipeline), timing, step);
  std::shared_ptr<CompiledPipeline> out(new CompiledPipeline(programs, ways));
  out->ListParts();
  if (threads > 0) RETURN_IF_ERROR(programs->CompileAll(out->parts_, threads));
  RETURN_IF_ERROR(out->SetStarts(out->parts_));
  out->latency_ = out->cycles();
  if (out->pipeline().plan.sequences == 1) return out;
  out->Repeat();
  if (threads > 0) RETURN_IF_ERROR(programs->CompileAll(out->parts_, threads));
  return out;
}

// A step is one row of parts, each receiving from the one before.
void CompiledPipeline::ListParts() {
  const std::vector<PipelineStage>& stages = pipeline().stages;
  const int last = static_cast<int>(stages.size()) - 1;
  const auto embeds = [&](int s) { return stages[s].shape.embedding.size() > 0; };
  const auto heads = [&](int s) { return stages[s].shape.head.size() > 0; };
  int deepest = 0, first_head = last;
  for (int s = 0; s <= last; ++s) {
    if (embeds(s)) deepest = s;
    if (heads(last - s)) first_head = last - s;
  }
  for (int s = deepest; s > 0; --s) {
    const NodeRoute* in = s < deepest ? &pipeline().backward[s] : nullptr;
    AddPart(s, {embeds(s), in, false, &pipeline().backward[s - 1], false});
  }
  for (int s = 0; s <= last; ++s) {
    PartShape part{s == 0 && embeds(0), nullptr, true, nullptr, s == last && heads(s)};
    if (s > 0) part.receive = &Forward(s - 1);
    if (s == 0 && deepest > 0) part.receive = &pipeline().backward[0];
    if (s < last) part.send = &Forward(s);
    if (s == last && first_head < last) part.send = &pipeline().backward[s - 1];
    part.to_head = s == last;
    AddPart(s, part);
  }
  for (int s = last - 1; s >= first_head; --s) {
    const NodeRoute* out = s > first_head ? &pipeline().backward[s - 1] : nullptr;
    PartShape part{false, &pipeline().backward[s], false, out, heads(s)};
    part.to_head = true;
    AddPart(s, part);
  }
}

// Takes the hidden vectors of all positions to the next stage.
const NodeRoute& CompiledPipeline::Forward(int stage) const {
  const int words = batch() * pipeline().plan.hidden_words();
  const bool spread = ways_ == Ways::kSpread && pipeline().spread[stage].Gain(words) > 0;
  return spread ? pipeline().spread[stage] : pipeline().forward[stage];
}

// The part, and what third chips do of the transfer that it sends.
void CompiledPipeline::AddPart(int stage, const PartShape& shape) {
  PipelinePart part{stage, shape};
  part.chips = pipeline().stages[stage].chips;
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
    ASSIGN_OR_RETURN(const std::shared_ptr<const Role> role, programs_->RoleOf(part, 0));
    const bool receives = part.shape.receive != nullptr || part.shape.relay != nullptr;
    part.start = receives ? first_sent - role->compiled.received_from : done;
    part.end = part.start + std::max(role->schedule->end, role->compiled.moved_until + 1);
    part.weight_stream_bytes = role->compiled.weight_stream_bytes;
    if (part.shape.relay == nullptr) part.sram = role->compiled.layout.use;
    first_sent = part.start + role->compiled.sent_from;
    earliest = std::min(earliest, part.start);
    done = part.end + DrainCycles(timing());
  }
  std::map<uint32_t, const PipelinePart*> before;
  for (PipelinePart& part : row) {
    part.start -= earliest, part.end -= earliest;
    for (uint32_t chip : part.chips) {
      const PipelinePart*& last = before[chip];
      if (last != nullptr && part.start < last->end + DrainCycles(timing())) {
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

std::vector<const PipelinePart*> CompiledPipeline::PartsAt(uint32_t chip) const {
  std::vector<const PipelinePart*> out;
  const std::optional<Seat> seat = SeatOf(chip);
  for (const PipelinePart& part : parts_) {
    if (part.shape.relay == nullptr && (!seat || part.stage != seat->stage)) continue;
    if (std::find(part.chips.begin(), part.chips.end(), chip) != part.chips.end()) {
      out.push_back(&part);
    }
  }
  std::sort(out.begin(), out.end(),
            [](const auto* a, const auto* b) { return a->start < b->start; });
  return out;
}

absl::StatusOr<std::vector<CompiledPipeline::ChipPart>> CompiledPipeline::PartsOf(uint32_t chip) {
  std::vector<ChipPart> out;
  for (const PipelinePart* part : PartsAt(chip)) {
    const auto at = std::find(part->chips.begin(), part->chips.end(), chip);
    ASSIGN_OR_RETURN(std::shared_ptr<const Role> role,
                     programs_->RoleOf(*part, static_cast<int>(at - part->chips.begin())));
    out.push_back({part, std::move(role)});
  }
  return out;
}

namespace {

// Two cables take words as fast as sums over the chips of a node are made, of which each link
// carries two vectors a word at least (StepEmitter::SumsTravelAsHalf).
constexpr size_t kCablesEnough = 2;

// A batch's programs with transfers spread over third chips, if that ends it earlier: where
// transfers wait for the cables, and not where words are made more slowly. Third chips must have
// nothing else to do meanwhile, so batches that follow each other go without.
std::shared_ptr<CompiledPipeline> SpreadIfEarlier(std::shared_ptr<CompiledPipeline> one,
                                                  int threads) {
  const Pipeline& pipeline = one->pipeline();
  const int words = one->batch() * pipeline.plan.hidden_words();
  bool gains = false;
  for (size_t s = 0; s < pipeline.spread.size(); ++s) {
    const bool waits =
        pipeline.plan.chips == 1 || pipeline.forward[s].cables().size() < kCablesEnough;
    gains = gains || (waits && pipeline.spread[s].Gain(words) > 0);
  }
  if (one->batch() == 1 || !gains) return one;
  auto spread = CompiledPipeline::Create(pipeline, one->timing(), CompiledPipeline::Step::kBatch,
                                         threads, CompiledPipeline::Ways::kSpread);
  return spread.ok() && (*spread)->cycles() < one->cycles() ? *spread : one;
}

}  // namespace

absl::StatusOr<std::shared_ptr<CompiledPipeline>> CompilePrompt(
    const std::shared_ptr<CompiledPipeline>& token, int threads) {
  const Plan& plan = token->pipeline().plan;
  std::shared_ptr<CompiledPipeline> one = token;
  if (plan.batch > 1) {
    ASSIGN_OR_RETURN(one, CompiledPipeline::Create(token->pipeline(), token->timing(),
                                                   CompiledPipeline::Step::kBatch, threads));
  }
  if (plan.flight <= plan.batch) return SpreadIfEarlier(std::move(one), threads);
  return CompiledPipeline::CreateFlight(*one);
}

Launches LaunchesOf(absl::Span<const CompiledPipeline::ChipPart> parts) {
  Launches out;
  for (const CompiledPipeline::ChipPart& p : parts)
    out.push_back({p.role->schedule, p.part->start});
  return out;
}

}  // namespace lockstep
