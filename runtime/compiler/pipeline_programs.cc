// Which chips share a program, its compilation, and placements for other processes
// (runtime/compiler/pipeline_programs.h).
#include "runtime/compiler/pipeline_programs.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "lockstep/v1/step_outline.pb.h"
#include "runtime/compiler/prefill.h"
#include "runtime/compiler/relay.h"

namespace lockstep {

PipelinePrograms::PipelinePrograms(Pipeline pipeline, const ChipTiming& timing, Step step)
    : pipeline_(std::move(pipeline)), timing_(timing), step_(step) {
  for (size_t s = 0; s < pipeline_.stages.size(); ++s) {
    const std::vector<uint32_t>& chips = pipeline_.stages[s].chips;
    for (size_t m = 0; m < chips.size(); ++m) {
      seats_.emplace(chips[m], Seat{static_cast<int>(s), static_cast<int>(m)});
    }
  }
}

std::optional<PipelinePrograms::Seat> PipelinePrograms::SeatOf(uint32_t chip) const {
  const auto at = seats_.find(chip);
  if (at == seats_.end()) return std::nullopt;
  return at->second;
}

std::string PipelinePrograms::ShapePicture(const StageShape& shape) const {
  return absl::StrCat(shape.layers.size(), "+", pipeline_.plan.ShardRows(shape.embedding), "+",
                      pipeline_.plan.ShardRows(shape.head));
}

// A third chip that belongs to a stage keeps to its layout.
const StageShape* PipelinePrograms::StageOfRelay(const PipelinePart& part, int member) const {
  const std::optional<Seat> seat = SeatOf(part.chips[member]);
  return seat ? &pipeline_.stages[seat->stage].shape : nullptr;
}

std::string PipelinePrograms::Picture(const PipelinePart& part, std::optional<int> member) const {
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

Placements* PipelinePrograms::PlacementsOf(const PipelinePart& part) {
  return part.shape.relay != nullptr ? nullptr : &placements_[Picture(part, std::nullopt)];
}

absl::StatusOr<std::shared_ptr<const Role>> PipelinePrograms::RoleOf(const PipelinePart& part,
                                                                     int member) {
  const std::string picture = Picture(part, member);
  if (const auto at = roles_.find(picture); at != roles_.end()) return at->second;
  ASSIGN_OR_RETURN(std::shared_ptr<const Role> role,
                   Compile(part, member, false, PlacementsOf(part)));
  roles_.emplace(picture, role);
  return role;
}

absl::StatusOr<CompiledChip> PipelinePrograms::CompilePart(const PipelinePart& part, int member,
                                                           const Placements* known) const {
  const Plan& plan = pipeline_.plan;
  if (part.shape.relay != nullptr) {
    return CompileRelay(plan, batch(), part.shape, member, StageOfRelay(part, member), timing_);
  }
  const PipelineStage& stage = pipeline_.stages[part.stage];
  const auto compile = step_ == Step::kBatch ? CompilePrefill : CompileChip;
  return compile(plan, stage.shape, part.shape, stage.groups[member], timing_, known);
}

absl::StatusOr<std::shared_ptr<const Role>> PipelinePrograms::Compile(
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
absl::Status PipelinePrograms::CompileAll(absl::Span<const PipelinePart> parts, int threads) {
  struct Job {
    const PipelinePart* part;
    int member;
    Placements* placements;
    absl::StatusOr<std::shared_ptr<const Role>> role = nullptr;
  };
  std::map<std::string, Job> by_picture;
  std::set<const Placements*> led;
  std::vector<Job*> first, others;
  for (const PipelinePart& part : parts) {
    Placements* const shared = PlacementsOf(part);  // stays where it is
    for (int m = 0; m < static_cast<int>(part.chips.size()); ++m) {
      if (roles_.count(Picture(part, m)) > 0) continue;
      const auto [at, made] = by_picture.try_emplace(Picture(part, m), Job{&part, m, shared});
      if (!made) continue;
      const bool leads = shared == nullptr || (shared->empty() && led.insert(shared).second);
      (leads ? first : others).push_back(&at->second);
    }
  }
  for (const std::vector<Job*>* jobs : {&first, &others}) {
    OnThreads(threads, jobs->size(), [&](size_t i) {
      Job& job = *(*jobs)[i];
      job.role = Compile(*job.part, job.member, true, job.placements);
    });
    for (const Job* job : *jobs) RETURN_IF_ERROR(job->role.status());
  }
  for (auto& [picture, job] : by_picture) {
    roles_.emplace(picture, *std::move(job.role));
  }
  return absl::OkStatus();
}

void PipelinePrograms::TellChecks(CheckCache& checks) const {
  for (const auto& [picture, role] : roles_) {
    if (role->check != nullptr) checks.Remember(role->schedule, role->check);
  }
}

const Role& PipelinePrograms::FirstRoleOf(const PipelinePart& part) const {
  const auto at = roles_.find(Picture(part, 0));
  LOCKSTEP_CHECK(at != roles_.end(), "stage %d has no program", part.stage);
  return *at->second;
}

std::string PipelinePrograms::Wanted(absl::Span<const PipelinePart* const> parts) const {
  std::set<std::string> kinds;
  for (const PipelinePart* part : parts) {
    if (part->shape.relay == nullptr) kinds.insert(Picture(*part, std::nullopt));
  }
  v1::Placements wanted;
  for (const std::string& kind : kinds) {
    if (placements_.count(kind) == 0) wanted.add_kinds()->set_name(kind);
  }
  return wanted.SerializeAsString();
}

// Answers that follow each other are near to each other.
absl::StatusOr<std::string> PipelinePrograms::AnswerTo(absl::string_view wanted) const {
  v1::Placements all;
  if (!all.ParseFromArray(wanted.data(), static_cast<int>(wanted.size()))) {
    return absl::DataLossError("kinds of placements that cannot be read");
  }
  for (v1::Placements::Kind& kind : *all.mutable_kinds()) {
    const auto known = placements_.find(kind.name());
    if (known == placements_.end()) continue;
    int64_t before = 0;
    for (int64_t answer : known->second) {
      kind.add_steps(answer - before);
      before = answer;
    }
  }
  return all.SerializeAsString();
}

absl::Status PipelinePrograms::Learn(absl::string_view answer) {
  v1::Placements all;
  if (!all.ParseFromArray(answer.data(), static_cast<int>(answer.size()))) {
    return absl::DataLossError("placements that cannot be read");
  }
  for (const v1::Placements::Kind& kind : all.kinds()) {
    Placements known;
    int64_t at = 0;
    for (int64_t step : kind.steps()) known.push_back(at += step);
    placements_[kind.name()] = std::move(known);
  }
  return absl::OkStatus();
}

}  // namespace lockstep
