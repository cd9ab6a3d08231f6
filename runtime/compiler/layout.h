#pragma once
// Layout: what lies where in the SRAM of a chip that holds its part of a stage. Made without
// emitting an instruction, so that a plan can be weighed by the same numbers that compiling takes.
//
// Columns: which vectors lie where is chosen so that operands of one chain lie in different
// columns.
//   W0 residual, cos, mask bias, fp16 MLP and attention output    E0 gains, sin of the upper half, maps
//   W1 partial sums, maxima, sin of the lower half, norm, gate    E1 the same, queries, keys, p
//   W2 landing of collectives, position, q k v                    E2 scores, up, q k v
// For int8 weights: row scales in columns 0, scales of vectors in columns 1; of a batch also sums of
// even planes in columns 0, of odd ones in the column (1 or 2) that the scaled results do not go to, and
// what results are multiplied by in column 2 of the other side, so that a chain over its positions finds
// each operand in a column of its own.

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "runtime/compiler/cache_layout.h"
#include "runtime/compiler/memory_map.h"
#include "runtime/compiler/stage.h"

namespace lockstep {

// A matrix cut by row tiles between the hemispheres; part p begins at row `first_row[p]`.
struct SplitMatrix {
  struct Part {
    Matrix matrix;
    int first_row;
    Quad row_scale{};  // int8: a vector a tile, on the other side
  };
  std::vector<Part> parts;
};

struct LayerMap {
  SplitMatrix q, o, gate, up, down;
  // Keys twice, one a lane half, and values; or, where SRAM is short and a head has one slot, both
  // in one tile a KV head, keys in its lower lane half, values in its upper.
  SplitMatrix k, v, keys_values;
  bool heads_end_to_end = false;  // what o multiplies: heads packed, where SRAM is short
  // In the last slots of o and down, the lane in which their columns begin; others share these
  // slots.
  int heads_lane = 0, ffn_lane = 0;
  Pair heads_mask{};  // if heads_lane > 0: all bits in lanes that o has there
  Quad attention_gain, mlp_gain;
  std::vector<int> keys, values;  // weight rows of the cache, by sequence, then KV slot
  std::vector<CacheScales> scales;  // of an int8 cache, likewise
};

// Everything in a chip's SRAM that the host fills.
struct ModelMap {
  // Weights, written once.
  Hemisphere embedding_side = Hemisphere::kWest;
  int embedding_rows = 0;        // first weight row
  std::vector<LayerMap> layers;  // of the stage
  Quad final_gain{};
  SplitMatrix head;
  // Constants, written once.
  Quad iota{};            // a vector a key tile: lane = its position, as fp32
  Quad low_half{};        // all bits in lanes 0..159
  Pair identity{};        // vector e: fp16 1.0 in lane e
  int transpose_row = 0;  // eastern weight rows: scratch of Attention::AppendValue
  // Inputs of a step, of each sequence after the other. A vector a position of a batch:
  Single token_map{};  // row of the token in the embedding, or 0xffff
  Quad position{};     // the position in every lane, as fp32
  Quad cos{}, sin_low{},
      sin_high{};  // its rotary embedding, a vector for each pair of slots of a head
  // One for the step:
  Single key_maps{}, transpose_maps{};  // 16 vectors each (Attention::AppendKey, AppendValue)
  Single value_map_read{}, value_map_write{};
  Pair one_hot{};
};

// A vector that matrices multiply: fp16 on both sides; for int8 matrices also quantised, in groups of
// so many words with a scale each; a position's scales next to each other.
struct OperandMap {
  Pair half[2]{};
  std::vector<int> groups{};
  Single bytes[2]{};
  Quad scale[2]{};
};
// Where a matrix' results go, by its side.
struct ProductMap {
  Quad y[2]{};
};

// What kernels hand to each other; arrays are by hemisphere.
struct ScratchMap {
  Quad residual{}, maxima{}, bias{}, norm_scratch{}, landing{};
  Quad norm_rest{}, norm_half{};  // of a streamed norm (runtime/kernels/norm.h), a vector a position
  Quad batch_rest[2]{};           // of a batch in int8: norm_rest, by the side of what it multiplies
  Quad scores{}, weighed{};
  Int8CacheMap int8_cache{};
  Pair q{}, k{}, v{}, p{};
  OperandMap normed{}, mlp{}, heads_out{};
  OperandMap normed_late{};  // normed, in groups for a product that waits for its last words
  OperandMap heads_end_to_end{};
  Pair packed_heads{};  // int8 and not end to end: two heads of heads_out a vector
  Pair partial16{};     // sums of a product that travel as fp16
  ProductMap partial{}, gate{}, up{}, q32{}, k32{}, v32{}, keys_values32{};
  // Of a batch in int8, by side, sums of the two planes that are not yet scaled: of the odd one of those
  // products whose results go to column 1 or 2.
  Quad batch_even[2]{}, batch_odd[2][2]{};
  Quad key_twice{};  // of keys_values32
  Quad logits[2]{};
  Pair inbox[2]{};  // of the first stage: rows of hidden vectors as fp16, even and odd ones
};

inline constexpr Hemisphere kAttentionSide = Hemisphere::kEast;

// Bytes of one chip by use. All chips of a stage are alike.
struct SramUse {
  int64_t layers = 0;  // matrices and gains
  int64_t embedding = 0;
  int64_t head = 0;  // with the last norm's gain
  int64_t kv_cache = 0;
  int64_t tables = 0;       // constants
  int64_t activations = 0;  // inputs of a step, and what kernels hand to each other

  int64_t weights() const { return layers + embedding + head; }
  int64_t total() const { return weights() + kv_cache + tables + activations; }
  bool operator==(const SramUse&) const = default;
};

struct Layout {
  ModelMap map;
  ScratchMap scratch;
  SramUse use;
  absl::Status
      fits;  // ok, or what is too small and by how much; the rest is filled in all the same
  std::array<int64_t, 2> excess{};  // bytes of a chip that do not fit, west and east
  int64_t excess_bytes() const { return excess[0] + excess[1]; }
};

// Words of each half of a stage's inbox; 0: it has none.
inline int InboxWords(const Plan& plan, const StageShape& stage) {
  return stage.layers.begin > 0 ? 0 : CeilDiv(plan.inbox, 2) * plan.batch * plan.hidden_words();
}

// REQUIRES: ranges of the stage lie inside the model.
Layout LayOut(const Plan& plan, const StageShape& stage);

}  // namespace lockstep
