// Shards of a model (runtime/compiler/plan.h).
#include "runtime/compiler/plan.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

// Balanced consecutive parts: sizes differ by at most one.
Range Part(int total, int parts, int index) {
  return {static_cast<int>(int64_t{total} * index / parts),
          static_cast<int>(int64_t{total} * (index + 1) / parts)};
}

// Chips that share one KV head (1 where a chip has a whole one or more).
int ChipsPerKvHead(const Plan& p) {
  return p.model.kv_heads >= p.chips ? 1 : p.chips / p.model.kv_heads;
}

// Ok, or which sum of int8 products could overflow int32. Heads are packed by two.
absl::Status CheckInt8Sums(const Plan& plan) {
  const std::pair<const char*, int> sums[] = {
      {"hidden_size", plan.hidden_words()},
      {"intermediate_size over the chips", plan.ffn_words()},
      {"query heads of a chip", CeilDiv(plan.query_heads() * plan.cache().value_groups(), 2)}};
  for (const auto& sum : sums) {
    if (sum.second <= kInt8SumTerms / kLanes) continue;
    return absl::UnimplementedError(
        absl::StrCat(sum.first, " make sums of ", int64_t{sum.second} * kLanes,
                     " int8 products: they are exact in int32 up to ", kInt8SumTerms));
  }
  return absl::OkStatus();
}

}  // namespace

AttentionSlot Plan::SlotOf(int chip, int slot) const {
  const int group = model.heads / model.kv_heads, sharing = ChipsPerKvHead(*this);
  AttentionSlot out;
  out.query_heads.assign(queries_per_slot, -1);
  Range queries{0, group};
  if (sharing == 1) {
    const Range mine = Part(model.kv_heads, chips, chip);
    if (slot < mine.size()) out.kv_head = mine.begin + slot;
  } else if (chip / sharing < model.kv_heads) {
    out.kv_head = chip / sharing;
    queries = Part(group, sharing, chip % sharing);
  }
  if (out.kv_head < 0 || queries.size() == 0) return {-1, out.query_heads};
  for (int q = queries.begin; q < queries.end; ++q) {
    out.query_heads[q - queries.begin] = out.kv_head * group + q;
  }
  return out;
}

Range Plan::FfnOf(int chip) const { return Part(model.intermediate_size, chips, chip); }
Range Plan::ShardOf(Range rows, int chip) const {
  const Range part = Part(rows.size(), chips, chip);
  return {rows.begin + part.begin, rows.begin + part.end};
}

uint64_t Plan::Digest() const {
  const ModelConfig& m = model;
  const auto bits = [](double v) { return absl::Hex(std::bit_cast<uint64_t>(v)); };
  const std::string all = absl::StrCat(
      m.hidden_size, ",", m.intermediate_size, ",", m.layers, ",", m.heads, ",", m.kv_heads, ",",
      m.head_dim, ",", m.vocab_size, ",", bits(m.rms_norm_eps), ",", m.tie_word_embeddings, ";",
      absl::StrCat(static_cast<int>(m.rope.kind), ",", bits(m.rope.theta), ",", bits(m.rope.factor),
                   ",", bits(m.rope.low_freq_factor), ",", bits(m.rope.high_freq_factor), ",",
                   m.rope.original_max_positions),
      ";", chips, ",", context, ",", sequences, ",", batch, ",", all_logits,
      weights == NumberFormat::kInt8 ? ",int8" : "",
      kv_cache == NumberFormat::kInt8 ? ",cache int8" : "",
      flight > 1 ? absl::StrCat(",flight", flight) : "",
      inbox > 0 ? absl::StrCat(",inbox", inbox) : "",
      landing > 0 ? absl::StrCat(",landing", landing) : "");
  return XXH64(all.data(), all.size(), 0);
}

absl::StatusOr<Plan> MakePlan(const ModelConfig& model, int chips, int context, int sequences,
                              NumberFormat weights, NumberFormat kv_cache) {
  if (chips < 1 || chips > 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor parallel over ", chips, " chips: a node has 1..8"));
  }
  if (context < 1 || context > model.max_context()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a context of ", context, " positions: the model has 1..", model.max_context()));
  }
  if (sequences < 1) {
    return absl::InvalidArgumentError(absl::StrCat(sequences, " sequences in flight: at least 1"));
  }
  Plan plan{.model = model,
            .chips = chips,
            .context = context,
            .sequences = sequences,
            .weights = weights,
            .kv_cache = kv_cache};
  const int sharing = ChipsPerKvHead(plan);
  plan.kv_slots = sharing == 1 ? CeilDiv(model.kv_heads, chips) : 1;
  plan.queries_per_slot = CeilDiv(model.heads / model.kv_heads, sharing);
  plan.ffn_rows = CeilDiv(model.intermediate_size, chips);
  if (weights == NumberFormat::kInt8) RETURN_IF_ERROR(CheckInt8Sums(plan));
  return plan;
}

}  // namespace lockstep
