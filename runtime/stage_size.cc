// Elements of the shards, padding included (runtime/stage_size.h).
#include "runtime/stage_size.h"

#include "absl/strings/str_cat.h"
#include "chip/geometry.h"

namespace lockstep {

StageSize SizeOfStage(const Plan& plan, const StageFormats& formats, const StageParts& parts) {
  const ModelConfig& m = plan.model;
  const int64_t hidden = m.hidden_size, weight = NumberBytes(formats.weights);
  const int64_t queries = int64_t{plan.query_heads()} * m.head_dim;
  const int64_t keys = int64_t{plan.kv_slots} * m.head_dim;
  const int64_t layer = hidden * (2 * queries + 2 * keys + 3 * int64_t{plan.ffn_rows}) * weight;
  const int64_t cache = 2 * keys * plan.context * NumberBytes(formats.kv_cache);
  const auto shard = [&](int rows) { return int64_t{CeilDiv(rows, plan.chips)} * hidden; };
  // Embedding and head stay fp16: they are looked up and decide the token.
  const int64_t embedding = shard(parts.embedding_rows) * 2, head = shard(parts.head_rows) * 2;
  StageSize size;
  size.step_bytes = parts.layers * (layer + cache) + head;
  size.sram_bytes =
      parts.layers * (layer + cache * formats.sequences) + head + embedding;
  if (size.sram_bytes > kSramBytes) {
    size.fits = absl::ResourceExhaustedError(
        absl::StrCat("weights and KV cache take ", size.sram_bytes, " B of a chip, which has ",
                     kSramBytes, " (", size.sram_bytes - kSramBytes, " B too many)"));
  }
  return size;
}

}  // namespace lockstep
