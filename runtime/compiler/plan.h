#pragma once
// Plan: which chip of a node holds which shard of a model, and what that costs in SRAM.
//
// Tensor parallel over the node's chips: every chip runs the same program on weights of its own, so
// shards have one shape and what does not divide evenly is padded with zeros:
//   attention  a chip has kv_slots KV heads with queries_per_slot query heads each
//   MLP        ffn_rows of the intermediate dimension
//   vocabulary rows of embedding and head, balanced

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/files/number_format.h"
#include "runtime/kernels/attention.h"
#include "runtime/model/model_config.h"

namespace lockstep {

// A shard's part of an attention slot: which heads of the model it holds; -1 where it is padding.
struct AttentionSlot {
  int kv_head = -1;
  std::vector<int> query_heads;  // queries_per_slot of them
};

struct Range {
  int begin = 0, end = 0;
  int size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

struct Plan {
  ModelConfig model;
  int chips = 1;
  int context = 0;    // positions one run can hold
  int sequences = 1;  // that are in flight, each with a KV cache of its own
  // Of q k v o gate up down; embedding and head stay fp16: they are looked up and decide the token.
  NumberFormat weights = NumberFormat::kFp16;
  NumberFormat kv_cache = NumberFormat::kFp16;
  int kv_slots = 0, queries_per_slot = 0;
  int ffn_rows = 0;
  // Positions of a prompt that a second program takes at once; 1: there is none.
  int batch = 1;
  // Or, over several stages, that follow each other through the pipeline in one step, on the same
  // program; the host writes the inputs of each before it. 1: one at a time.
  int flight = 1;
  bool all_logits = false;  // a batch or flight gives those of all positions, not of the last alone
  // Of a flight, for how many positions (or batches) the first stage keeps what the embedding gave until
  // their layers begin (runtime/compiler/pipeline.h); 0: for none.
  int inbox = 0;
  // Rows of the ring in which words of a batch's sums land (runtime/compiler/landing.h); 0: the least.
  int landing = 0;

  // Positions of a prompt in one step.
  int prompt_positions() const { return std::max(batch, flight); }
  int query_heads() const { return kv_slots * queries_per_slot; }
  int hidden_words() const { return CeilDiv(model.hidden_size, kLanes); }
  int ffn_words() const { return CeilDiv(ffn_rows, kLanes); }
  // Vectors of a position's queries, two slots each; and of its attention output, a slot each.
  int query_vectors() const { return CeilDiv(query_heads() * cache().key_slots(), 2); }
  int outputs() const { return query_heads() * cache().value_groups(); }
  CacheShape cache() const { return {context, model.head_dim, kv_cache}; }

  // What chip `chip` of the group holds.
  AttentionSlot SlotOf(int chip, int slot) const;
  Range FfnOf(int chip) const;
  // Of rows of the vocabulary that the node holds: chip `chip`'s, and the most that a chip has.
  Range ShardOf(Range rows, int chip) const;
  int ShardRows(Range rows) const { return CeilDiv(rows.size(), chips); }
  int ShardWords(Range rows) const { return CeilDiv(ShardRows(rows), kLanes); }
  // Rows of the head lie in both lane halves of their tiles, equally many in each of all: a chip's
  // rows are dealt out to the halves in order. How many a half takes, and where row `row` is.
  int HeadHalf(Range rows) const {
    return CeilDiv(ShardRows(rows), std::max(1, 2 * ShardWords(rows)));
  }
  int HeadLane(Range rows, int row) const {
    return row / HeadHalf(rows) * kHalfLanes + row % HeadHalf(rows);
  }

  // Of everything that decides the programs and images: ranks compare it before they start.
  uint64_t Digest() const;
};

// Errors name what cannot be planned: more chips than a node has, a context beyond the model's,
// sums of int8 products that int32 may not hold.
absl::StatusOr<Plan> MakePlan(const ModelConfig& model, int chips, int context, int sequences = 1,
                              NumberFormat weights = NumberFormat::kFp16,
                              NumberFormat kv_cache = NumberFormat::kFp16);

}  // namespace lockstep
