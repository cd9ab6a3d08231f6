// Entering, running and leaving stages (runtime/run/visits.h).
#include "runtime/run/visits.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/fleet.h"
#include "runtime/compiler/sequence_map.h"
#include "runtime/run/engine_memory.h"

namespace lockstep {
namespace {

// Visits every word of a chip's KV cache, and of its inbox, in one order.
void ForEachKeptWord(const Plan& plan, const StageShape& stage, const Layout& layout,
                     const std::function<void(int slice, int address)>& visit) {
  const auto rows = [&](int first, int count) {
    for (int i = 0; i < kWeightSlices; ++i) {
      for (int r = 0; r < count; ++r) visit(WeightSlice(kAttentionSide, i), first + r);
    }
  };
  const auto quads = [&](Quad first, int count) {
    for (int k = 0; k < kSlicesPerColumn; ++k) {
      for (int w = 0; w < count; ++w) {
        visit(ColumnSlice(first.side, first.column, k), first.address + w);
      }
    }
  };
  for (const LayerMap& layer : layout.map.layers) {
    for (int first : layer.keys) rows(first, plan.cache().key_rows());
    for (int first : layer.values) rows(first, plan.cache().value_rows());
    for (const CacheScales& scales : layer.scales) {
      for (const Quad& of : {scales.keys, scales.values}) quads(of, plan.cache().key_tiles());
    }
  }
  for (const Pair& inbox : layout.scratch.inbox) {
    for (int w = 0; w < InboxWords(plan, stage); ++w) {
      for (int k : {0, 1}) {
        visit(ColumnSlice(inbox.side, inbox.column, inbox.plane + k), inbox.address + w);
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<StageVisits>> StageVisits::Create(const CompiledPipeline& one,
                                                                 const Checkpoint* weights,
                                                                 const ChipTiming& timing,
                                                                 Wiring wiring, int64_t sram_limit,
                                                                 Observer* observer) {
  const Plan& plan = one.pipeline().plan;
  for (const PipelinePart& part : one.parts()) {
    const int64_t bytes = part.sram.total() * plan.chips;
    if (bytes <= sram_limit) continue;
    return absl::ResourceExhaustedError(
        absl::StrCat("stage ", part.stage, " takes ", bytes, " B of SRAM on its ", plan.chips,
                     " chips, --sram-limit gives ", sram_limit,
                     "; use more stages (--nodes) or a higher limit"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<LocalFabric> fabric, LocalFabric::Create(std::move(wiring), 1));
  return absl::WrapUnique(new StageVisits(weights, timing, std::move(fabric), observer));
}

absl::StatusOr<std::vector<float>> StageVisits::Step(CompiledPipeline& step,
                                                     const std::vector<FedToken>& fed) {
  std::vector<float> logits = NoLogits(step);
  fabric_->EmptyLinks();
  for (const Visit& visit : VisitsOf(step.parts())) {
    ASSIGN_OR_RETURN(std::vector<Resident> chips, Enter(step, visit));
    RETURN_IF_ERROR(Run(step, visit, fed, chips, logits));
    Leave(step.pipeline(), *visit.front(), std::move(chips));
  }
  fabric_->Visit(all_chips_);
  for (const Leftover& left : fabric_->Leftovers()) {
    return absl::InternalError(
        absl::StrCat("chip", left.chip, ": link ", left.link, " holds a vector nobody received"));
  }
  return logits;
}

// Third chips find nothing but what comes in.
absl::StatusOr<std::vector<StageVisits::Resident>> StageVisits::Enter(CompiledPipeline& step,
                                                                      const Visit& visit) {
  const Pipeline& pipeline = step.pipeline();
  const PipelinePart& first = *visit.front();
  const StageShape& stage = pipeline.stages[first.stage].shape;
  std::vector<Resident> chips;
  for (size_t member = 0; member < first.chips.size(); ++member) {
    const uint32_t chip = first.chips[member];
    std::vector<std::shared_ptr<const Role>> roles;
    for (const PipelinePart* part : visit) {
      ASSIGN_OR_RETURN(std::shared_ptr<const Role> role,
                       step.programs().RoleOf(*part, static_cast<int>(member)));
      roles.push_back(std::move(role));
    }
    auto engine = std::make_unique<FunctionalEngine>(chip, timing_, observer_,
                                                     Sram::PagesFor(first.sram.total()));
    std::shared_ptr<TimingDigest>& digest = digests_[chip];
    if (digest == nullptr) digest = std::make_shared<TimingDigest>();
    engine->set_digest(digest);
    if (first.shape.relay == nullptr) {
      EngineMemory memory(engine->sram());
      const Layout& layout = roles.front()->compiled.layout;
      RETURN_IF_ERROR(WriteModel(pipeline.plan, stage, static_cast<int>(member), layout.map,
                                 *weights_, memory));
      if (const auto kept = kept_.find(chip); kept != kept_.end()) {
        auto word = kept->second.begin();
        ForEachKeptWord(pipeline.plan, stage, layout, [&](int slice, int address) {
          engine->sram().Store(slice, address, *word++);
        });
      }
    }
    chips.push_back({chip, static_cast<int>(member), std::move(roles), std::move(engine)});
  }
  return chips;
}

// Each part finds the inputs of its sequence and position.
absl::Status StageVisits::Run(const CompiledPipeline& step, const Visit& visit,
                              const std::vector<FedToken>& fed, std::vector<Resident>& chips,
                              std::vector<float>& logits) {
  const Pipeline& pipeline = step.pipeline();
  std::vector<uint32_t> numbers;
  std::vector<Engine*> engines;
  std::vector<Launches> launches;
  for (Resident& c : chips) {
    numbers.push_back(c.chip);
    engines.push_back(c.engine.get());
    launches.emplace_back();
    for (size_t i = 0; i < visit.size(); ++i) {
      launches.back().push_back({c.roles[i]->schedule, visit[i]->start});
    }
  }
  const auto write_inputs = [&](int index, size_t launch) {
    const PipelinePart& part = *visit[launch];
    if (part.shape.relay != nullptr) return;
    const Resident& c = chips[index];
    const PartInputs inputs = InputsOf(step, part, fed);
    EngineMemory memory(c.engine->sram());
    WriteStep(pipeline.plan, pipeline.stages[part.stage].shape, c.member,
              AtSequence(c.roles[launch]->compiled.layout.map, pipeline.plan, part.shape.sequence),
              inputs.tokens, inputs.position, memory);
  };
  const auto read_logits = [&](int index, size_t launch) {
    const Resident& c = chips[index];
    const EngineMemory memory(c.engine->sram());
    for (const ShardLogits& shard :
         LogitsOfPart(step, *visit[launch], c.roles[launch]->compiled, c.member, memory)) {
      PutLogits(shard, pipeline.plan.model.vocab_size, logits);
    }
  };
  fabric_->Visit(std::move(numbers));
  const std::optional<Fault> fault =
      Fleet(fabric_.get(), engines)
          .Run(launches, write_inputs, read_logits, Fleet::Links::kMayHoldMore);
  return fault ? absl::InternalError(fault->ToString()) : absl::OkStatus();
}

void StageVisits::Leave(const Pipeline& pipeline, const PipelinePart& part,
                        std::vector<Resident> chips) {
  int64_t held = 0;
  for (const Resident& c : chips) {
    held += c.engine->sram().TouchedBytes();
    if (part.shape.relay != nullptr) continue;
    std::vector<Vector>& kept = kept_[c.chip];
    kept.clear();
    ForEachKeptWord(pipeline.plan, pipeline.stages[part.stage].shape,
                    c.roles.front()->compiled.layout, [&](int slice, int address) {
                      kept.push_back(c.engine->sram().Load(slice, address));
                    });
  }
  most_ = std::max(most_, held);
}

uint64_t StageVisits::TimingDigestOf(uint32_t chip) const {
  const auto at = digests_.find(chip);
  return at == digests_.end() ? TimingDigest().value() : at->second->value();
}

}  // namespace lockstep
