// The programs of a pipeline: which chips share one, and their compilation
// (runtime/compiler/pipeline.h).
#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/compiler/pipeline.h"
#include "runtime/compiler/prefill.h"
#include "runtime/compiler/relay.h"

namespace lockstep {

std::string CompiledPipeline::ShapePicture(const StageShape& shape) const {
  return absl::StrCat(shape.layers.size(), "+", pipeline_.plan.ShardRows(shape.embedding), "+",
                      pipeline_.plan.ShardRows(shape.head));
}

// A third chip that belongs to a stage keeps to its layout.
const StageShape* CompiledPipeline::StageOfRelay(const PipelinePart& part, int member) const {
  const std::optional<Seat> seat = SeatOf(part.chips[member]);
  return seat ? &pipeline_.stages[seat->stage].shape : nullptr;
}

std::string CompiledPipeline::Picture(const PipelinePart& part, std::optional<int> member) const {
  if (part.shape.relay != nullptr) {
    LOCKSTEP_CHECK(member, "third chips of stage %d have placements of their own", part.stage);
    const StageShape* of = StageOfRelay(part, *member);
    return absl::StrCat(part.shape.relay->RelayPicture(*member), part.shape.to_head ? "^" : "",
                        of == nullptr ? "" : ShapePicture(*of));
  }
  const PipelineStage& stage = pipeline_.stages[part.stage];
  const Group& group = stage.groups[member.value_or(0)];
  const int self = member.value_or(-1);
  std::string out = ShapePicture(stage.shape);
  if (part.shape.keep) return absl::StrCat(out, "keep", *part.shape.keep);
  if (part.shape.take) return absl::StrCat(out, "take", *part.shape.take);
  if (pipeline_.plan.inbox > 0 && part.stage == 0) out += "inbox";
  absl::StrAppend(&out, "/", part.shape.embedding, part.shape.layers, part.shape.head, "#",
                  part.shape.sequence, "/", self, "@", group.flight_cycles);
  for (int port : group.port) absl::StrAppend(&out, ",", member ? port : 0);
  // Of one position all of it goes to the head.
  if (step_ == Step::kBatch && part.shape.to_head) out += "^";
  if (part.shape.receive != nullptr) {
    absl::StrAppend(&out, "/", part.shape.receive->ReceivePicture(self));
  }
  if (part.shape.send != nullptr) absl::StrAppend(&out, "/", part.shape.send->SendPicture(self));
  return out;
}

absl::StatusOr<std::shared_ptr<const Role>> CompiledPipeline::RoleOf(const PipelinePart& part,
                                                                     int member) {
  const std::string picture = Picture(part, member);
  if (const auto at = roles_.find(picture); at != roles_.end()) return at->second;
  ASSIGN_OR_RETURN(std::shared_ptr<const Role> role, CompileRole(part, member, false, nullptr));
  roles_.emplace(picture, role);
  return role;
}

absl::StatusOr<CompiledChip> CompiledPipeline::CompilePart(const PipelinePart& part, int member,
                                                           const Placements* known) const {
  const Plan& plan = pipeline_.plan;
  if (part.shape.relay != nullptr) {
    return CompileRelay(plan, batch(), part.shape, member, StageOfRelay(part, member), timing_);
  }
  const PipelineStage& stage = pipeline_.stages[part.stage];
  const auto compile = step_ == Step::kBatch ? CompilePrefill : CompileChip;
  return compile(plan, stage.shape, part.shape, stage.groups[member], timing_, known);
}

absl::StatusOr<std::shared_ptr<const Role>> CompiledPipeline::CompileRole(
    const PipelinePart& part, int member, bool check, Placements* placements) const {
  const bool known = placements != nullptr && !placements->empty();
  ASSIGN_OR_RETURN(CompiledChip compiled,
                   CompilePart(part, member, known ? placements : nullptr));
  if (placements != nullptr && !known) *placements = std::move(compiled.placements);
  compiled.placements = {};
  DispatchResult dispatched = Dispatch(compiled.program, timing_, {.chip = part.chips[member]});
  if (dispatched.fault) return absl::InternalError(dispatched.fault->ToString());
  compiled.program = {};  // the schedule says the same
  auto schedule = std::make_shared<const Schedule>(std::move(dispatched.schedule));
  const LinkCounts sent = SendsOf(*schedule);
  std::shared_ptr<const ProgramCheck> checked;
  if (check) checked = std::make_shared<const ProgramCheck>(CheckProgram(*schedule, timing_));
  return std::make_shared<const Role>(
      Role{std::move(compiled), std::move(schedule), sent, std::move(checked)});
}

namespace {

// Calls work(i) for 0.. below `jobs`: threads take the next one that is left.
void OnThreads(int threads, size_t jobs, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next{0};
  const auto take = [&] {
    for (size_t i = next++; i < jobs; i = next++) work(i);
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(take);
  take();
  for (std::thread& thread : others) thread.join();
}

}  // namespace

// One program of each kind of stage is compiled first; the other members' follow its placements.
absl::Status CompiledPipeline::CompileAll(int threads) {
  struct Job {
    const PipelinePart* part;
    int member;
    Placements* placements;
    absl::StatusOr<std::shared_ptr<const Role>> role = nullptr;
  };
  std::map<std::string, Placements> placements;
  std::map<std::string, Job> by_picture;
  std::vector<Job*> first, others;
  for (const PipelinePart& part : parts_) {
    const bool relays = part.shape.relay != nullptr;  // each third chip has placements of its own
    Placements* shared = nullptr;
    bool leads = false;
    if (!relays) {
      const auto [known, made] = placements.try_emplace(Picture(part, std::nullopt));
      shared = &known->second, leads = made;
    }
    for (int m = 0; m < static_cast<int>(part.chips.size()); ++m) {
      if (roles_.count(Picture(part, m)) > 0) continue;
      const auto [at, made] = by_picture.try_emplace(Picture(part, m), Job{&part, m, shared});
      if (made) (relays || (leads && m == 0) ? first : others).push_back(&at->second);
    }
  }
  for (const std::vector<Job*>* jobs : {&first, &others}) {
    OnThreads(threads, jobs->size(), [&](size_t i) {
      Job& job = *(*jobs)[i];
      job.role = CompileRole(*job.part, job.member, true, job.placements);
    });
    for (const Job* job : *jobs) RETURN_IF_ERROR(job->role.status());
  }
  for (auto& [picture, job] : by_picture) {
    roles_.emplace(picture, *std::move(job.role));
  }
  return absl::OkStatus();
}

void CompiledPipeline::TellChecks(CheckCache& checks) const {
  for (const auto& [picture, role] : roles_) {
    if (role->check != nullptr) checks.Remember(role->schedule, role->check);
  }
}

const Role& CompiledPipeline::FirstRoleOf(const PipelinePart& part) const {
  const auto at = roles_.find(Picture(part, 0));
  LOCKSTEP_CHECK(at != roles_.end(), "stage %d has no program", part.stage);
  return *at->second;
}

absl::StatusOr<std::vector<CompiledPipeline::ChipPart>> CompiledPipeline::PartsOf(uint32_t chip) {
  std::vector<ChipPart> out;
  const std::optional<Seat> seat = SeatOf(chip);
  for (const PipelinePart& part : parts_) {
    const bool relays = part.shape.relay != nullptr;
    if (!relays && (!seat || part.stage != seat->stage)) continue;
    const auto at = std::find(part.chips.begin(), part.chips.end(), chip);
    if (at == part.chips.end()) continue;
    ASSIGN_OR_RETURN(std::shared_ptr<const Role> role,
                     RoleOf(part, static_cast<int>(at - part.chips.begin())));
    out.push_back({&part, std::move(role)});
  }
  std::sort(out.begin(), out.end(),
            [](const ChipPart& a, const ChipPart& b) { return a.part->start < b.part->start; });
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
