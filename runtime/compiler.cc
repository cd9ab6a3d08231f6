// The forward pass of a Llama as kernels in order (runtime/compiler.h).
//
// Columns: which vectors lie where is chosen so that operands of one chain lie in different columns.
//   W0 residual, position, maxima, fp16 MLP and attention output     E0 gains, cos table, step maps
//   W1 partial sums, mask bias, norm output, gate                    E1 the same, queries, keys, p
//   W2 landing of collectives, up, q k v                             E2 scores, up, q k v
#include "runtime/compiler.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

class Compiler {
 public:
  Compiler(const Plan& plan, const Group& group, const ChipTiming& timing)
      : plan_(plan), m_(plan.model), timing_(timing), placer_(timing),
        kernels_{timing, placer_}, collectives_(timing, placer_, group),
        attention_{timing, placer_, plan.cache(), kAttentionSide}, group_(group) {}

  absl::StatusOr<CompiledChip> Compile() {
    MapModel();
    MapStep();
    MapScratch();
    RETURN_IF_ERROR(memory_.Check());
    Prologue();
    for (const LayerMap& layer : map_.layers) {
      AttentionPart(layer);
      MlpPart(layer);
    }
    Head();
    CompiledChip out{map_, placer_.Finish(), placer_.spans(), 0, memory_.bytes_used()};
    out.weight_stream_bytes = StreamedBytes(out.program);
    return out;
  }

 private:
  int slots_of(int elements) const { return CeilDiv(elements, kHalfLanes); }

  // Row tiles shared between the hemispheres. A single tile goes to the roomier one, and so does the
  // odd tile of an odd number.
  SplitMatrix Split(int rows, int slots, int slot_stride = 1) {
    return SplitAt(rows, slots, WesternTiles(rows), slot_stride);
  }
  int WesternTiles(int rows) const {
    const int tiles = CeilDiv(rows, kTileRows);
    return tiles / 2 + (tiles % 2 == 1 && memory_.Roomier() == kWest ? 1 : 0);
  }
  SplitMatrix SplitAt(int rows, int slots, int western_tiles, int slot_stride = 1) {
    const int cut = std::min(western_tiles * kTileRows, rows);
    SplitMatrix out;
    if (cut > 0) out.parts.push_back({memory_.Place(kWest, cut, slots, slot_stride), 0});
    if (cut < rows) out.parts.push_back({memory_.Place(kEast, rows - cut, slots, slot_stride), cut});
    return out;
  }

  void MapModel() {
    const int hidden = slots_of(m_.hidden_size), heads = plan_.query_heads();
    const int d = m_.head_dim, words = plan_.hidden_words();
    // Rows of heads: two query heads a tile (one a lane half); one KV head a tile, keys twice.
    const int q_rows = (heads - 1) / 2 * kTileRows + (heads - 1) % 2 * kHalfLanes + d;
    const int kv_first = (plan_.kv_slots - 1) * kTileRows;
    map_.embedding_side = kWest;
    map_.embedding_rows = memory_.WeightRows(kWest, CeilDiv(words, 16) * plan_.vocab_rows);
    map_.ones_row = memory_.WeightRows(kAttentionSide, 1);
    for (int l = 0; l < m_.layers; ++l) {
      LayerMap layer;
      layer.q = Split(q_rows, hidden);
      layer.k = Split(kv_first + kHalfLanes + d, hidden);
      layer.v = Split(kv_first + d, hidden);
      layer.o = Split(m_.hidden_size, heads, 2);
      // Gate and up in step, word for word, unless they are a tile each: then side by side.
      const int cut = WesternTiles(plan_.ffn_rows);
      const bool single = plan_.ffn_rows <= kTileRows;
      layer.gate = SplitAt(plan_.ffn_rows, hidden, cut);
      layer.up = SplitAt(plan_.ffn_rows, hidden, single ? 1 - cut : cut);
      layer.down = Split(m_.hidden_size, slots_of(plan_.ffn_rows));
      layer.attention_gain = memory_.Words(kEast, 0, words);
      layer.mlp_gain = memory_.Words(kEast, 0, words);
      for (int s = 0; s < plan_.kv_slots; ++s) {
        layer.keys.push_back(memory_.WeightRows(kAttentionSide, plan_.cache().key_rows()));
        layer.values.push_back(memory_.WeightRows(kAttentionSide, plan_.cache().value_rows()));
      }
      map_.layers.push_back(layer);
    }
    map_.final_gain = memory_.Words(kEast, 0, words);
    map_.head = Split(plan_.vocab_rows, hidden);
    map_.cos_table = memory_.Words(kEast, 0, plan_.context);
    map_.sin_low_table = memory_.Words(kEast, 1, plan_.context);
    map_.sin_high_table = memory_.Words(kWest, 1, plan_.context);
    map_.iota = memory_.Words(kEast, 0, plan_.cache().key_tiles());
    map_.low_half = memory_.Words(kWest, 1, 1);
    map_.identity = memory_.PairWords(kAttentionSide, 2, 0, d);
  }

  void MapStep() {
    map_.token_map = memory_.SingleWords(map_.embedding_side, 0, 0, 1);
    map_.position_map_west = memory_.SingleWords(kWest, 0, 0, 1);
    map_.position_map_east = memory_.SingleWords(kEast, 0, 0, 1);
    map_.position = memory_.Words(kWest, 0, 1);
    map_.key_maps = memory_.SingleWords(kAttentionSide, 0, 0, kWeightSlices / 2);
    map_.value_map_read = memory_.SingleWords(kAttentionSide, 0, 1, 1);
    map_.value_map_write = memory_.SingleWords(kAttentionSide, 0, 2, 1);
    map_.one_hot = memory_.PairWords(kAttentionSide, 2, 2, 1);
  }

  void MapScratch() {
    const int words = plan_.hidden_words(), heads = plan_.query_heads();
    const int tiles = plan_.cache().key_tiles(), ffn = plan_.ffn_words();
    residual_ = memory_.Words(kWest, 0, words);
    maxima_ = memory_.Words(kWest, 0, 2 * plan_.queries_per_slot);
    cos_ = memory_.Words(kWest, 0, 1);
    sin_low_ = memory_.Words(kWest, 1, 1);
    sin_high_ = memory_.Words(kEast, 0, 1);
    bias_ = memory_.Words(kWest, 1, tiles);
    norm_scratch_ = memory_.Words(kEast, 2, 2);
    landing_ = memory_.Words(kWest, 2, words * group_.size);
    for (Hemisphere side : {kWest, kEast}) {
      const int s = static_cast<int>(side);
      normed_[s] = memory_.PairWords(side, 1, 0, words);
      partial_[s] = memory_.Words(side, 1, words);
      gate_[s] = memory_.Words(side, 1, ffn);
      up_[s] = memory_.Words(side, 2, ffn);
      mlp_[s] = memory_.PairWords(side, 0, 0, ffn);
      heads_out_[s] = memory_.PairWords(side, 0, 0, heads);
      q32_[s] = memory_.Words(side, 2, CeilDiv(heads, 2));
      k32_[s] = memory_.Words(side, 2, plan_.kv_slots);
      v32_[s] = memory_.Words(side, 2, plan_.kv_slots);
      logits_[s] = memory_.Words(side, 2, plan_.vocab_words());
    }
    q_ = memory_.PairWords(kAttentionSide, 1, 0, CeilDiv(heads, 2));
    k_ = memory_.PairWords(kAttentionSide, 1, 0, plan_.kv_slots);
    v_ = memory_.PairWords(kAttentionSide, 1, 2, plan_.kv_slots);
    p_ = memory_.PairWords(kAttentionSide, 1, 0, plan_.queries_per_slot * tiles);
    scores_ = memory_.Words(kAttentionSide, 2, plan_.queries_per_slot * tiles);
    weighed_ = memory_.Words(kAttentionSide, 2, heads);
  }

  // y = W x on both hemispheres; returns where y's vectors went.
  std::vector<Segment32> MatVec(const char* name, const SplitMatrix& w, const Pair x[2],
                                const Quad y[2]) {
    std::vector<Segment32> out;
    for (const SplitMatrix::Part& part : w.parts) {
      const int side = static_cast<int>(part.matrix.side);
      PlaceMatVec(placer_, timing_, name, part.matrix, x[side], y[side]);
      out.push_back({y[side], part.first_row / kTileRows, part.matrix.tiles()});
    }
    return out;
  }

  void Prologue() {
    kernels_.MaskBias(map_.iota, map_.position, plan_.cache().key_tiles(), bias_);
    kernels_.GatherQuad(map_.cos_table, map_.position_map_west, cos_);
    kernels_.GatherQuad(map_.sin_low_table, map_.position_map_west, sin_low_);
    kernels_.GatherQuad(map_.sin_high_table, map_.position_map_east, sin_high_);
    kernels_.GatherRow(map_.embedding_side, map_.embedding_rows, plan_.vocab_rows, map_.token_map,
                       plan_.hidden_words(), partial_[0]);
    collectives_.AllReduceDirect(partial_[0], landing_, plan_.hidden_words(), residual_, false,
                                 residual_);
  }

  void AddToResidual(const std::vector<Segment32>& partial) {
    for (const Segment32& s : partial) {
      collectives_.AllReduceDirect(s.at, landing_ + s.first * group_.size, s.words,
                                   residual_ + s.first, true, residual_ + s.first);
    }
  }

  void Norm(Quad gain) {
    kernels_.RmsNorm(residual_, gain, norm_scratch_, plan_.hidden_words(), m_.hidden_size,
                     static_cast<float>(m_.rms_norm_eps), normed_[0], normed_[1]);
  }

  void AttentionPart(const LayerMap& layer) {
    Norm(layer.attention_gain);
    const Kernels::RotaryTables tables{cos_, sin_low_, sin_high_};
    const float scale = 1.0f / std::sqrt(static_cast<float>(m_.head_dim));
    for (const Segment32& s : MatVec("k", layer.k, normed_, k32_)) {
      kernels_.Rotary(s.at, tables, s.words, m_.head_dim, 1.0f, k_ + s.first);
    }
    for (const Segment32& s : MatVec("v", layer.v, normed_, v32_)) {
      kernels_.ToHalf(s.at, s.words, v_ + s.first);
    }
    for (const Segment32& s : MatVec("q", layer.q, normed_, q32_)) {
      kernels_.Rotary(s.at, tables, s.words, m_.head_dim, scale, q_ + s.first);
    }
    const Attention::ValueTables value_tables{map_.identity, map_.one_hot, map_.ones_row,
                                              map_.value_map_read, map_.value_map_write};
    const int queries = plan_.queries_per_slot;
    for (int slot = 0; slot < plan_.kv_slots; ++slot) {
      attention_.AppendKey(k_ + slot, map_.key_maps, layer.keys[slot]);
      attention_.Scores(q_, slot * queries, queries, layer.keys[slot], scores_);
      attention_.AppendValue(v_ + slot, value_tables, layer.values[slot]);
      attention_.Softmax(scores_, bias_, maxima_, queries, p_);
      attention_.Weigh(p_, queries, layer.values[slot], weighed_ + slot * queries);
    }
    attention_.Normalise(weighed_, map_.low_half, plan_.query_heads(), heads_out_[0],
                         heads_out_[1]);
    AddToResidual(MatVec("o", layer.o, heads_out_, partial_));
  }

  void MlpPart(const LayerMap& layer) {
    Norm(layer.mlp_gain);
    const std::vector<Segment32> gate = MatVec("gate", layer.gate, normed_, gate_);
    const std::vector<Segment32> up = MatVec("up", layer.up, normed_, up_);
    for (size_t i = 0; i < gate.size(); ++i) {
      kernels_.SwiGlu(gate[i].at, up[i].at, gate[i].words, mlp_[0] + gate[i].first,
                      mlp_[1] + gate[i].first);
    }
    AddToResidual(MatVec("down", layer.down, mlp_, partial_));
  }

  void Head() {
    Norm(map_.final_gain);
    map_.logits = MatVec("head", map_.head, normed_, logits_);
  }

  static int64_t StreamedBytes(const Program& program) {
    int64_t bytes = 0;
    for (int q = 0; q < kQueues; ++q) {
      const std::vector<Instruction>& text = program.queues[q];
      for (size_t i = 0; i < text.size(); ++i) {
        if (text[i].op != Opcode::kLw) continue;
        const bool repeated = i + 1 < text.size() && text[i + 1].op == Opcode::kRepeat;
        bytes += int64_t{repeated ? text[i + 1].arg[0] + 1 : 1} * text[i].arg[3] * kVectorBytes;
      }
    }
    return bytes;
  }

  const Plan& plan_;
  const ModelConfig& m_;
  const ChipTiming timing_;
  Placer placer_;
  MemoryMap memory_;
  Kernels kernels_;
  Collectives collectives_;
  Attention attention_;
  const Group& group_;
  ModelMap map_;

  Quad residual_{}, maxima_{}, cos_{}, sin_low_{}, sin_high_{}, bias_{}, norm_scratch_{}, landing_{};
  Quad scores_{}, weighed_{};
  Pair q_{}, k_{}, v_{}, p_{};
  Pair normed_[2]{}, mlp_[2]{}, heads_out_[2]{};
  Quad partial_[2]{}, gate_[2]{}, up_[2]{}, q32_[2]{}, k32_[2]{}, v32_[2]{}, logits_[2]{};
};

// What kernels need of the table of latencies: a value that waits in the VXM is passed on by `or`, so
// it waits in steps of that; sums and maxima start with an `or` in place of their operation.
absl::Status CheckLatencies(const ChipTiming& timing) {
  const auto cycles = [&](Opcode op) { return timing.d_func[static_cast<int>(op)]; };
  const int step = cycles(Opcode::kOr);
  for (Opcode op : {Opcode::kAdd, Opcode::kMax, Opcode::kSub, Opcode::kMul, Opcode::kMask,
                    Opcode::kAnd, Opcode::kCmpGt, Opcode::kTanh, Opcode::kExp, Opcode::kRsqrt,
                    Opcode::kConvert}) {
    const bool equal = op == Opcode::kAdd || op == Opcode::kMax;
    if (equal ? cycles(op) == step : cycles(op) % step == 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("latency of ", Info(op).name, " = ", cycles(op),
                     ": kernels are laid out for ", equal ? "that of or, " : "a multiple of or's ",
                     step, " cycles; change them together"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CompiledChip> CompileChip(const Plan& plan, const Group& group,
                                         const ChipTiming& timing) {
  RETURN_IF_ERROR(CheckLatencies(timing));
  return Compiler(plan, group, timing).Compile();
}

}  // namespace lockstep
