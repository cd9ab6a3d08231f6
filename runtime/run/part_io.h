#pragma once
// What the host writes into a chip before a part of a step, and reads from it after: which of the
// tokens that a step is fed go through the part, and where its logits stand among the step's.

#include <cstdint>
#include <vector>

#include "runtime/compiler/image.h"
#include "runtime/compiler/pipeline.h"

namespace lockstep {

// What a sequence is fed in a step.
struct FedToken {
  int32_t token, position;
};

// The tokens of a step that go through a part, the first at `position` of its sequence.
struct PartInputs {
  std::vector<int> tokens;
  int position;
};
// fed: of each sequence after the other, as many (Session::Step).
PartInputs InputsOf(const CompiledPipeline& step, const PipelinePart& part,
                    const std::vector<FedToken>& fed);

// Rows of the vocabulary that a chip has computed of one position.
struct ShardLogits {
  int row;    // of the step's logits: by position, then sequence
  int first;  // of the vocabulary
  std::vector<float> values;
};
// What member `member` of the part's node has left of it; nothing of parts without a head. A later
// part of the chip may overwrite it.
std::vector<ShardLogits> LogitsOfPart(const CompiledPipeline& step, const PipelinePart& part,
                                      const CompiledChip& program, int member,
                                      const HostMemory& memory);

// All logits of a step, zeros. And with those of a shard.
std::vector<float> NoLogits(const CompiledPipeline& step);
void PutLogits(const ShardLogits& shard, int vocabulary, std::vector<float>& all);

}  // namespace lockstep
