// The forward pass of a batch of positions as kernels in order (runtime/compiler/prefill.h).
#include "runtime/compiler/prefill.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/compiler/step_emitter.h"
#include "runtime/kernels/int8_kernels.h"
#include "runtime/kernels/matmul.h"
#include "runtime/kernels/rotary.h"

namespace lockstep {
namespace {

class PrefillCompiler : public StepEmitter {
 public:
  PrefillCompiler(const Plan& plan, const StageShape& stage, const PartShape& part, Layout layout,
                  const Group& group, const ChipTiming& timing, const Placements* known)
      : StepEmitter(plan, stage, part, std::move(layout), group, timing, plan.batch, known),
        int8_{timing_, placer_} {}

 private:
  // Where a part of a product lies: vectors first .. first + words - 1 of each position, `stride`
  // between positions.
  struct Part {
    Quad at;
    int first, words, stride;
    Quad of(int position) const { return at + position * stride; }
  };

  // y = W x for all positions. A position's vectors are x_stride, and y_stride, apart. In int8 y is
  // multiplied by what a norm left, too, if x is normed.
  std::vector<Part> MatMul(const char* name, const SplitMatrix& w, const OperandMap& x,
                           int x_stride, const Quad y[2], int y_stride,
                           const std::vector<int>& order = {}, bool normed = false) {
    std::vector<Part> out;
    for (const SplitMatrix::Part& part : w.parts) {
      const int side = static_cast<int>(part.matrix.side);
      out.push_back({y[side], part.first_row / kTileRows, part.matrix.tiles(), y_stride});
      if (part.matrix.format == NumberFormat::kInt8) {
        Int8MatMul(name, part, x, x_stride, out.back(), order, normed);
        continue;
      }
      PlaceMatMul(placer_, timing_, name, part.matrix, batch_, {x.half[side], x_stride},
                  {y[side], y_stride}, order);
    }
    return out;
  }
  void Int8MatMul(const char* name, const SplitMatrix::Part& part, const OperandMap& x,
                  int x_stride, const Part& y, const std::vector<int>& order, bool normed) {
    const int side = static_cast<int>(part.matrix.side), groups = static_cast<int>(x.groups.size());
    const Single b = x.bytes[side];
    const auto scale = [&](int tile, int group, const BatchSums& at) {
      Int8Kernels::Scaling scaling{x.scale[1 - side] + group, group > 0};
      if (group + 1 == groups) {
        scaling.row_scale = part.row_scale + tile;
        if (normed) scaling.by = at_.batch_rest[side];
      }
      int8_.Dequantise({at.even, at.odd, scaling, {batch_, y.stride, groups}}, y.at + tile);
    };
    PlaceInt8MatMul(placer_, timing_, name, part.matrix, batch_,
                    {{b.side, b.column, b.plane, b.address}, x_stride},
                    {at_.batch_even[side], at_.batch_odd[side][y.at.column - 1]}, order, x.groups,
                    scale);
  }

  Kernels::RotaryTables RotaryOf(int position) const {
    const Kernels::RotaryTables all{map_.cos, map_.sin_low, map_.sin_high};
    return all + position * cache_.rotary_tables();
  }

  // Residual += sum over the chips of W x, rounded on the way as for one position; then the norm.
  void AddToResidual(const char* name, const SplitMatrix& w, const OperandMap& x, int x_stride) {
    const bool half = SumsTravelAsHalf(w);
    const std::vector<Part> parts = MatMul(name, w, x, x_stride, at_.partial.y, words_);
    std::vector<ChipPart> sums;
    for (int word : InwardOrder(words_)) {
      const Part& p = *std::find_if(parts.begin(), parts.end(), [&](const Part& part) {
        return word >= part.first && word < part.first + part.words;
      });
      for (int i = 0; i < batch_; ++i) sums.push_back({p.of(i) + (word - p.first), i, word});
    }
    AddOverChips(sums, half);
  }
  // y = W x of a layer's norm.
  std::vector<Part> MatMulNormed(const char* name, const SplitMatrix& w, const OperandMap& x,
                                 const Quad y[2], int y_stride) {
    const std::vector<int> order = streamed_ || Int8() ? InwardOrder(words_) : std::vector<int>{};
    return MatMul(name, w, x, words_, y, y_stride, order, true);
  }
  // What a streamed norm left of `part`.
  void ScaleByRest(const Part& part) {
    if (!streamed_) return;
    for (int w = 0; w < part.words; ++w) {
      kernels_.Scale(part.at + w, part.stride, at_.norm_rest, 1, batch_);
    }
  }

  void Project(const LayerMap& layer, int keys, int values) {
    const OperandMap& x = at_.normed_late;
    for (const Part& p : MatMulNormed("k and v", layer.keys_values, x, at_.keys_values32.y, keys)) {
      ScaleByRest(p);
      for (int i = 0; i < batch_; ++i) {
        for (int w = 0; w < p.words; ++w) {
          const int kv = i * keys + p.first + w;
          kernels_.SplitKeyValue(p.of(i) + w, map_.low_half, at_.key_twice + kv, at_.v + kv);
          RotateKeys(kernels_, cache_, at_.key_twice + kv, 1, RotaryOf(i), at_.k + kv);
        }
      }
    }
    for (const Part& p : MatMulNormed("k", layer.k, x, at_.k32.y, keys)) {
      ScaleByRest(p);
      for (int i = 0; i < batch_; ++i) {
        RotateKeys(kernels_, cache_, p.of(i), p.words, RotaryOf(i), at_.k + (i * keys + p.first));
      }
    }
    for (const Part& p : MatMulNormed("v", layer.v, x, at_.v32.y, values)) {
      ScaleByRest(p);
      for (int i = 0; i < batch_; ++i) {
        kernels_.ToHalf(p.of(i), p.words, at_.v + (i * values + p.first));
      }
    }
    const int queries = plan_.query_vectors();
    for (const Part& p : MatMulNormed("q", layer.q, x, at_.q32.y, queries)) {
      ScaleByRest(p);
      for (int i = 0; i < batch_; ++i) {
        RotateQueries(kernels_, cache_, p.of(i), p.words, RotaryOf(i),
                      at_.q + (i * queries + p.first));
      }
    }
  }

  void AttentionPart(const LayerMap& layer) override {
    Project(layer, plan_.kv_slots * cache_.key_slots(), plan_.kv_slots * cache_.value_groups());
    Attend(layer);
    BeginMlpNorm(layer);
    const int packed = layer.heads_end_to_end ? PackHeads(layer) : plan_.outputs();
    const OperandMap& end_to_end = at_.heads_end_to_end;
    const OperandMap& heads = layer.heads_end_to_end ? end_to_end : at_.heads_out;
    if (!Int8()) return AddToResidual("o", layer.o, heads, packed);
    const int words = at_.heads_out.groups.front();
    if (!layer.heads_end_to_end) {
      for (int i = 0; i < batch_; ++i) {
        int8_.PackHalves(at_.heads_out.half[0] + i * packed, packed, at_.packed_heads + i * words);
      }
    }
    Quantise(layer.heads_end_to_end ? end_to_end.half[0] : at_.packed_heads, words, at_.heads_out);
    AddToResidual("o", layer.o, at_.heads_out, words);
  }
  // Makes the int8 form of x, `words` vectors a position.
  void Quantise(Pair x, int words, const OperandMap& to) {
    const int groups = static_cast<int>(to.groups.size());
    for (int g = 0, first = 0; g < groups; first += to.groups[g++]) {
      int8_.Quantise(x + first, to.groups[g], at_.norm_scratch + g % 2 * 2 * batch_,
                     {to.bytes[0] + first, to.bytes[1] + first}, {to.scale[0] + g, to.scale[1] + g},
                     {batch_, words, groups});
    }
  }

  // Returns the vectors of a position.
  int PackHeads(const LayerMap& layer) {
    const int heads = plan_.outputs(), elements = plan_.model.head_dim;
    const int packed = CeilDiv(heads * elements, kLanes);
    const Pair *from = at_.heads_out.half, *to = at_.heads_end_to_end.half;
    for (int i = 0; i < batch_; ++i) {
      const Pair of_position[2] = {from[0] + i * heads, from[1] + i * heads};
      kernels_.PackHeads(of_position, heads, elements, to[0] + i * packed, to[1] + i * packed,
                         {layer.heads_lane, layer.heads_mask});
    }
    return packed;
  }

  void GateAndUp(const LayerMap& layer) override {
    const int ffn = plan_.ffn_words();
    const std::vector<Part> gate = MatMulNormed("gate", layer.gate, at_.normed, at_.gate.y, ffn);
    const std::vector<Part> up = MatMulNormed("up", layer.up, at_.normed, at_.up.y, ffn);
    std::optional<Kernels::Factor> rest;
    if (streamed_) rest = {at_.norm_rest, at_.norm_half};
    for (size_t p = 0; p < gate.size(); ++p) {
      for (int i = 0; i < batch_; ++i) {
        const int to = i * ffn + gate[p].first;
        kernels_.SwiGlu(gate[p].of(i), up[p].of(i), gate[p].words, at_.mlp.half[0] + to,
                        at_.mlp.half[1] + to, rest ? std::optional(*rest + i) : std::nullopt);
      }
    }
  }

  void Down(const LayerMap& layer) override {
    if (Int8()) Quantise(at_.mlp.half[0], plan_.ffn_words(), at_.mlp);
    AddToResidual("down", layer.down, at_.mlp, plan_.ffn_words());
  }

  std::vector<Segment32> Head() override {
    std::vector<Segment32> out;
    const int stride = plan_.ShardWords(stage_.head);
    const int first = part_.sequence * (plan_.all_logits ? batch_ : 1) * stride;
    const Quad logits[2] = {at_.logits[0] + first, at_.logits[1] + first};
    if (!plan_.all_logits) {
      for (const SplitMatrix::Part& part : map_.head.parts) {
        const int side = static_cast<int>(part.matrix.side);
        PlaceMatVec(placer_, timing_, "head", part.matrix,
                    at_.normed.half[side], logits[side]);
        out.push_back({logits[side], part.first_row / kTileRows, part.matrix.tiles()});
      }
      return out;
    }
    const std::vector<Part> parts = MatMul("head", map_.head, at_.normed, words_, logits, stride);
    for (int i = 0; i < batch_; ++i) {
      for (const Part& p : parts) out.push_back({p.of(i), p.first, p.words});
    }
    return out;
  }

  Int8Kernels int8_;
};

}  // namespace

absl::StatusOr<CompiledChip> CompilePrefill(const Plan& plan, const StageShape& stage,
                                            const PartShape& part, const Group& group,
                                            const ChipTiming& timing, const Placements* known) {
  LOCKSTEP_CHECK(plan.batch > 1 && kMostPrefill % plan.batch == 0, "a batch of %d", plan.batch);
  RETURN_IF_ERROR(CheckLatencies(timing));
  Layout layout = LayOut(plan, stage);
  RETURN_IF_ERROR(layout.fits);
  return PrefillCompiler(plan, stage, part, std::move(layout), group, timing, known).Emit();
}

}  // namespace lockstep
