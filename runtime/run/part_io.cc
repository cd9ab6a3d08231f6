// Tokens in, logits out (runtime/run/part_io.h).
#include "runtime/run/part_io.h"

#include <algorithm>

#include "chip/check.h"

namespace lockstep {

PartInputs InputsOf(const CompiledPipeline& step, const PipelinePart& part,
                    const std::vector<FedToken>& fed) {
  const size_t each = fed.size() / step.pipeline().plan.sequences;
  const size_t first = part.shape.sequence * each + part.position;
  PartInputs out{{}, fed[first].position};
  for (int i = 0; i < step.batch(); ++i) out.tokens.push_back(fed[first + i].token);
  return out;
}

std::vector<ShardLogits> LogitsOfPart(const CompiledPipeline& step, const PipelinePart& part,
                                      const CompiledChip& program, int member,
                                      const HostMemory& memory) {
  if (!part.shape.head) return {};
  const Plan& plan = step.pipeline().plan;
  const StageShape& stage = step.pipeline().stages[part.stage].shape;
  const int rows = step.logits_of_part(), position = plan.all_logits ? part.position : 0;
  std::vector<ShardLogits> out;
  for (int i = 0; i < rows; ++i) {
    out.push_back({(position + i) * plan.sequences + part.shape.sequence,
                   plan.ShardOf(stage.head, member).begin,
                   ReadLogits(plan, stage, member, program.LogitsOf(i, rows), memory)});
  }
  return out;
}

std::vector<float> NoLogits(const CompiledPipeline& step) {
  const Plan& plan = step.pipeline().plan;
  return std::vector<float>(static_cast<size_t>(plan.model.vocab_size) * plan.sequences *
                            step.logits_of_step());
}

void PutLogits(const ShardLogits& shard, int vocabulary, std::vector<float>& all) {
  const size_t at = static_cast<size_t>(shard.row) * vocabulary + shard.first;
  LOCKSTEP_CHECK(at + shard.values.size() <= all.size(), "row %d of the logits", shard.row);
  std::copy(shard.values.begin(), shard.values.end(), all.begin() + at);
}

}  // namespace lockstep
