#pragma once
// An encoder of the kind of BERT on one chip, fp16 in the MXM, fp32 in the VXM: post-norm, biases, GELU by
// tanh. All positions see each other, so a layer is two rounds over batches of 16 positions:
//
//   round 1   k, v = W x + b                         into the cache, a KV head a query head
//   round 2   q = W x + b, attention over the whole cache
//             y = LayerNorm(x + W_o heads + b_o)
//             x = LayerNorm(y + W_down gelu(W_up y + b_up) + b_down)
//
// Kernels are those of a transformer's prompt (runtime/kernels/); how they are cut is ours.

#include <vector>

#include "absl/status/status.h"
#include "runtime/compiler/image.h"
#include "runtime/compiler/layout.h"
#include "runtime/compiler/memory_map.h"
#include "runtime/kernels/attention.h"

namespace lockstep {

inline constexpr int kEncoderBatch = 16;

struct EncoderShape {
  int positions = 0;  // a multiple of 16
  int heads = 0, head_dim = 0;
  int ffn = 0;
  float epsilon = 1e-12f;

  int hidden() const { return heads * head_dim; }
  int words() const { return CeilDiv(hidden(), kLanes); }
  int ffn_words() const { return CeilDiv(ffn, kLanes); }
  int query_vectors() const { return CeilDiv(heads, 2); }
  int batches() const { return positions / kEncoderBatch; }
  CacheShape cache() const { return {positions, head_dim}; }
  // Multiply-adds of a layer that the model asks for.
  int64_t LayerMacs() const;
  absl::Status Check() const;
};

// Rows of matrices and vectors as the programs expect them:
//   q   head 2 i in lanes 0.. of vector i, head 2 i + 1 in lanes 160..
//   k   a vector a head, its elements in lanes 0.. and again in lanes 160..
//   v   a vector a head, lanes 0..
struct EncoderLayer {
  SplitMatrix q, k, v, o, up, down;
  Quad q_bias, k_bias, v_bias, o_bias, up_bias, down_bias;
  struct Norm {
    Quad gain, shift;  // zero beyond hidden()
  } attention_norm, ffn_norm;
};

// Where everything lies, for `layers` layers.
class EncoderMap {
 public:
  EncoderMap(const EncoderShape& shape, int layers);
  absl::Status fits() const { return memory_.Check(); }
  int64_t bytes() const { return memory_.bytes_used(); }

  std::vector<EncoderLayer> layers;
  // In and out: fp32, words() vectors a position.
  Quad x;
  // Written by the host once. By batch: where keys and values of its positions go.
  std::vector<CachePlaces> places;
  Quad bias{};  // batch x key tiles: 0 for positions, -1e30 beyond
  Quad low_half{};
  Pair identity{};
  int transpose_row = 0;
  std::vector<int> keys, values;  // weight rows of the cache, by head
  // What kernels hand to each other.
  Pair x16[2]{}, y16[2]{}, heads_out[2]{}, mlp[2]{};
  Quad k32[2]{}, v32[2]{}, q32[2]{}, partial[2]{}, ffn32[2]{};
  Quad ffn_biased{}, ffn_tanh{}, residual{}, y{}, sums{}, squares{}, inverse{}, offset{}, normed{};
  Quad scores{}, weighed{}, maxima{};
  Pair k{}, v{}, q{}, p{};

 private:
  SplitMatrix Split(int rows, int slots, int slot_stride, int half_rows);
  void MapLayer(const EncoderShape& s, EncoderLayer& layer);
  void MapTables(const EncoderShape& s);
  void MapScratch(const EncoderShape& s);

  MemoryMap memory_;
};

// Fills the tables: maps, one-hot vectors, mask, identity. Weights and x are the caller's.
void WriteEncoderTables(const EncoderShape& shape, const EncoderMap& map, HostMemory& memory);

// x16 = x, before the first layer.
void PlaceEncoderInput(Placer& placer, const ChipTiming& timing, const EncoderShape& shape,
                       const EncoderMap& map);
void PlaceEncoderLayer(Placer& placer, const ChipTiming& timing, const EncoderShape& shape,
                       const EncoderMap& map, const EncoderLayer& layer);

}  // namespace lockstep
