// Entering, running and leaving stages (runtime/run/visits.h).
#include "runtime/run/visits.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/fleet.h"
#include "runtime/run/engine_memory.h"

namespace lockstep {
namespace {

// Visits every word of a chip's KV cache, in one order.
void ForEachCacheWord(const Plan& plan, const ModelMap& map,
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
  for (const LayerMap& layer : map.layers) {
    for (int first : layer.keys) rows(first, plan.cache().key_rows());
    for (int first : layer.values) rows(first, plan.cache().value_rows());
    for (const CacheScales& scales : layer.scales) {
      for (const Quad& of : {scales.keys, scales.values}) quads(of, plan.cache().key_tiles());
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
  if (plan.sequences > 1) {
    return absl::UnimplementedError(absl::StrCat(
        "--sram-limit with ", plan.sequences, " sequences in flight: stages are visited for one"));
  }
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
  const Plan& plan = step.pipeline().plan;
  const size_t vocabulary = plan.model.vocab_size;
  const int rows = step.logit_rows();
  std::vector<float> logits(vocabulary * rows);
  fabric_->EmptyLinks();
  for (const PipelinePart& part : step.parts()) {
    ASSIGN_OR_RETURN(std::vector<Resident> chips, Enter(step, part));
    RETURN_IF_ERROR(Run(step, part, fed, chips));
    const StageShape& stage = step.pipeline().stages[part.stage].shape;
    for (const Resident& c : chips) {
      if (!part.shape.head) continue;
      EngineMemory memory(c.engine->sram());
      for (int row = 0; row < rows; ++row) {
        const std::vector<float> shard =
            ReadLogits(plan, stage, c.member, c.role->compiled.LogitsOf(row, rows), memory);
        std::copy(shard.begin(), shard.end(),
                  logits.begin() + row * vocabulary + plan.ShardOf(stage.head, c.member).begin);
      }
    }
    Leave(plan, part, std::move(chips));
  }
  return logits;
}

void StageVisits::RestoreCache(const Plan& plan, const ModelMap& map, uint32_t chip, Sram& sram) {
  const auto cache = caches_.find(chip);
  if (cache == caches_.end()) return;
  auto word = cache->second.begin();
  ForEachCacheWord(plan, map, [&](int slice, int address) { sram.Store(slice, address, *word++); });
}

// A part that passes on finds nothing but what comes in.
absl::StatusOr<std::vector<StageVisits::Resident>> StageVisits::Enter(CompiledPipeline& step,
                                                                      const PipelinePart& part) {
  const Pipeline& pipeline = step.pipeline();
  const PipelineStage& stage = pipeline.stages[part.stage];
  std::vector<Resident> chips;
  for (size_t member = 0; member < part.chips.size(); ++member) {
    const uint32_t chip = part.chips[member];
    ASSIGN_OR_RETURN(std::shared_ptr<const Role> role, step.RoleOf(part, static_cast<int>(member)));
    auto engine = std::make_unique<FunctionalEngine>(chip, timing_, observer_,
                                                     Sram::PagesFor(part.sram.total()));
    std::shared_ptr<TimingDigest>& digest = digests_[chip];
    if (digest == nullptr) digest = std::make_shared<TimingDigest>();
    engine->set_digest(digest);
    if (part.shape.relay == nullptr) {
      EngineMemory memory(engine->sram());
      const ModelMap& map = role->compiled.layout.map;
      RETURN_IF_ERROR(
          WriteModel(pipeline.plan, stage.shape, static_cast<int>(member), map, *weights_, memory));
      RestoreCache(pipeline.plan, map, chip, engine->sram());
    }
    chips.push_back({chip, static_cast<int>(member), std::move(role), std::move(engine)});
  }
  return chips;
}

absl::Status StageVisits::Run(const CompiledPipeline& step, const PipelinePart& part,
                              const std::vector<FedToken>& fed, std::vector<Resident>& chips) {
  const Pipeline& pipeline = step.pipeline();
  std::vector<int> tokens;
  for (int i = 0; i < step.batch(); ++i) tokens.push_back(fed[part.position + i].token);
  std::vector<uint32_t> numbers;
  std::vector<Engine*> engines;
  std::vector<Launches> launches;
  for (Resident& c : chips) {
    EngineMemory memory(c.engine->sram());
    if (part.shape.relay == nullptr) {
      WriteStep(pipeline.plan, pipeline.stages[part.stage].shape, c.member,
                c.role->compiled.layout.map, tokens, fed[part.position].position, memory);
    }
    numbers.push_back(c.chip);
    engines.push_back(c.engine.get());
    launches.push_back({{c.role->schedule, part.start}});
  }
  fabric_->Visit(std::move(numbers));
  if (const std::optional<Fault> fault = Fleet(fabric_.get(), engines).Run(launches)) {
    return absl::InternalError(fault->ToString());
  }
  return absl::OkStatus();
}

void StageVisits::Leave(const Plan& plan, const PipelinePart& part, std::vector<Resident> chips) {
  int64_t held = 0;
  for (const Resident& c : chips) {
    held += c.engine->sram().TouchedBytes();
    if (part.shape.relay != nullptr) continue;
    std::vector<Vector>& cache = caches_[c.chip];
    cache.clear();
    ForEachCacheWord(plan, c.role->compiled.layout.map, [&](int slice, int address) {
      cache.push_back(c.engine->sram().Load(slice, address));
    });
  }
  most_ = std::max(most_, held);
}

uint64_t StageVisits::TimingDigestOf(uint32_t chip) const {
  const auto at = digests_.find(chip);
  return at == digests_.end() ? TimingDigest().value() : at->second->value();
}

}  // namespace lockstep
