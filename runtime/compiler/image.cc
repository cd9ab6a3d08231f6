// Layout of a model in SRAM (runtime/compiler/image.h); inputs of a step are in step_image.cc.
#include "runtime/compiler/image.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/compiler/matrix_image.h"

namespace lockstep {
namespace {

constexpr uint16_t kHalfOne = 0x3C00;

using ColumnsOf = decltype(MatrixSource::columns_of);
using RowOf = decltype(MatrixSource::row_of);

class ModelWriter {
 public:
  ModelWriter(const Plan& plan, const StageShape& stage, int chip, const ModelMap& map,
              const Checkpoint& weights, HostMemory& memory)
      : plan_(plan),
        m_(plan.model),
        stage_(stage),
        chip_(chip),
        map_(map),
        weights_(weights),
        memory_(memory) {}

  absl::Status Write() {
    RETURN_IF_ERROR(Embedding());
    for (int l = 0; l < stage_.layers.size(); ++l) {
      RETURN_IF_ERROR(Layer(stage_.layers.begin + l, map_.layers[l]));
    }
    if (stage_.head.size() > 0) RETURN_IF_ERROR(Head());
    Constants();
    return absl::OkStatus();
  }

 private:
  static int Inside(Range range, int offset) {
    return offset < range.size() ? range.begin + offset : -1;
  }
  // Slots that cut `elements` columns into runs of a slot's lanes.
  static ColumnsOf Packed(NumberFormat format, int elements, int begin = 0) {
    const int lanes = format == NumberFormat::kInt8 ? kLanes : kHalfLanes;
    return [=](int slot) {
      const int from = slot * lanes;
      return std::vector<SlotColumns>{
          {0, {begin + from, begin + std::min(from + lanes, elements)}}};
    };
  }

  absl::Status Head() {
    RETURN_IF_ERROR(Gain("model.norm.weight", map_.final_gain));
    const char* head = m_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    const Range rows = plan_.ShardOf(stage_.head, chip_);
    return Matrix2(
        head, {m_.vocab_size, m_.hidden_size}, map_.head,
        [&](int row) {
          const int half = plan_.HeadHalf(stage_.head), lane = row % kHalfLanes;
          return lane < half ? Inside(rows, row / kHalfLanes * half + lane) : -1;
        },
        Packed(NumberFormat::kFp16, m_.hidden_size));
  }

  absl::Status Embedding() {
    const Range vocab = plan_.ShardOf(stage_.embedding, chip_);
    const int most = plan_.ShardRows(stage_.embedding);
    const int64_t shape[] = {m_.vocab_size, m_.hidden_size};
    std::vector<uint16_t> row(m_.hidden_size);
    for (int r = 0; r < vocab.size(); ++r) {
      RETURN_IF_ERROR(weights_.ReadRowsF16("model.embed_tokens.weight", shape,
                                           {vocab.begin + r, 1, 0, m_.hidden_size}, row));
      for (int w = 0; w < plan_.hidden_words(); ++w) {
        const int n = std::min(kLanes, m_.hidden_size - w * kLanes);
        const int address = map_.embedding_rows + w / 16 * most + r;
        StorePlanes(WeightSlice(map_.embedding_side, 2 * (w % 16)), address, 0,
                    std::span(row).subspan(w * kLanes, n));
      }
    }
    return absl::OkStatus();
  }

  // fp16 values into byte planes of slices `slice`, `slice + 1`.
  void StorePlanes(int slice, int address, int lane, std::span<const uint16_t> values) {
    std::array<uint8_t, kLanes> lo, hi;
    for (size_t i = 0; i < values.size(); ++i) {
      lo[i] = static_cast<uint8_t>(values[i]), hi[i] = static_cast<uint8_t>(values[i] >> 8);
    }
    memory_.Store(slice, address, lane, std::span(lo).first(values.size()));
    memory_.Store(slice + 1, address, lane, std::span(hi).first(values.size()));
  }

  absl::Status Matrix2(const std::string& name, std::array<int64_t, 2> shape, const SplitMatrix& to,
                       const RowOf& row_of, const ColumnsOf& columns_of) {
    return WriteMatrix(weights_, {name, shape, row_of, columns_of}, to, memory_);
  }

  // Model head that local query head `local` is; -1: padding.
  int QueryHead(int local) const {
    return plan_.SlotOf(chip_, local / plan_.queries_per_slot)
        .query_heads[local % plan_.queries_per_slot];
  }

  // Slots of "o": a group of a head's elements each, or two, one a lane half, in int8.
  ColumnsOf HeadColumns() const {
    const int a_slot = plan_.weights == NumberFormat::kInt8 ? 2 : 1;
    return [this, a_slot](int slot) {
      const CacheShape cache = plan_.cache();
      const int groups = cache.value_groups();
      std::vector<SlotColumns> out;
      for (int i = 0; i < a_slot; ++i) {
        const int local = (slot * a_slot + i) / groups, group = (slot * a_slot + i) % groups;
        const int head = local < plan_.query_heads() ? QueryHead(local) : -1;
        const int first = head * m_.head_dim + group * kHalfLanes;
        if (head < 0) continue;
        out.push_back({i * kHalfLanes, {first, first + cache.group_elements(group)}});
      }
      return out;
    };
  }

  // Slots of "o" whose heads lie end to end; the last one's columns from `lane` on.
  ColumnsOf PackedHeadColumns(int lane) const {
    const int lanes = plan_.weights == NumberFormat::kInt8 ? kLanes : kHalfLanes;
    return [this, lane, lanes](int slot) {
      std::vector<SlotColumns> out;
      const int d = m_.head_dim, first = slot * lanes, end = first + lanes;
      const int moved = end > plan_.query_heads() * d ? lane : 0;
      for (int local = first / d; local * d < end && local < plan_.query_heads(); ++local) {
        const int from = std::max(first, local * d), to = std::min(end, (local + 1) * d);
        const int head = QueryHead(local), at = head * d - local * d;
        if (head >= 0) out.push_back({from - first + moved, {from + at, to + at}});
      }
      return out;
    };
  }

  // Slots of "down": the last one's columns from `lane` on.
  ColumnsOf FfnColumns(int lane) const {
    const Range ffn = plan_.FfnOf(chip_);
    const ColumnsOf packed = Packed(plan_.weights, ffn.size(), ffn.begin);
    const int last = plan_.ffn_rows / (plan_.weights == NumberFormat::kInt8 ? kLanes : kHalfLanes);
    return [=](int slot) {
      std::vector<SlotColumns> out = packed(slot);
      for (SlotColumns& part : out) part.lane += slot == last ? lane : 0;
      return out;
    };
  }

  absl::Status Layer(int l, const LayerMap& layer) {
    const std::string p = absl::StrCat("model.layers.", l, ".");
    const int d = m_.head_dim, h = m_.hidden_size;
    const Range ffn = plan_.FfnOf(chip_);
    const ColumnsOf hidden = Packed(plan_.weights, h);
    const CacheShape cache = plan_.cache();
    const int slots = cache.key_slots(), groups = cache.value_groups();
    const auto head_row = [d](int head, int element) {
      return head < 0 || element < 0 || element >= d ? -1 : head * d + element;
    };
    RETURN_IF_ERROR(Gain(p + "input_layernorm.weight", layer.attention_gain));
    RETURN_IF_ERROR(Gain(p + "post_attention_layernorm.weight", layer.mlp_gain));
    RETURN_IF_ERROR(Matrix2(
        p + "self_attn.q_proj.weight", {m_.query_size(), h}, layer.q,
        [&](int row) {
          const int slot = row / kHalfLanes;  // a lane half each
          return head_row(QueryHead(slot / slots),
                          cache.KeyElement(slot % slots, row % kHalfLanes));
        },
        hidden));
    RETURN_IF_ERROR(Matrix2(
        p + "self_attn.k_proj.weight", {m_.kv_size(), h}, layer.k,
        [&](int row) {  // the same in both lane halves
          const int slot = row / kTileRows;
          return head_row(plan_.SlotOf(chip_, slot / slots).kv_head,
                          cache.KeyElement(slot % slots, row % kHalfLanes));
        },
        hidden));
    RETURN_IF_ERROR(Matrix2(
        p + "self_attn.v_proj.weight", {m_.kv_size(), h}, layer.v,
        [&](int row) {
          const int group = row / kTileRows, lane = row % kTileRows;
          const int element = group % groups * kHalfLanes + lane;
          return head_row(plan_.SlotOf(chip_, group / groups).kv_head,
                          lane < kHalfLanes ? element : -1);
        },
        hidden));
    RETURN_IF_ERROR(KeysAndValues(p, layer.keys_values));
    RETURN_IF_ERROR(Matrix2(
        p + "self_attn.o_proj.weight", {h, m_.query_size()}, layer.o, [](int row) { return row; },
        layer.heads_end_to_end ? PackedHeadColumns(layer.heads_lane) : HeadColumns()));
    // Those of a last tile that stand further up.
    const int full = plan_.ffn_rows / kTileRows * kTileRows;
    const RowOf ffn_row = [&](int row) {
      if (row < full) return Inside(ffn, row);
      return row - full < layer.ffn_lane ? -1 : Inside(ffn, row - layer.ffn_lane);
    };
    const int f = m_.intermediate_size;
    RETURN_IF_ERROR(Matrix2(p + "mlp.gate_proj.weight", {f, h}, layer.gate, ffn_row, hidden));
    RETURN_IF_ERROR(Matrix2(p + "mlp.up_proj.weight", {f, h}, layer.up, ffn_row, hidden));
    return Matrix2(
        p + "mlp.down_proj.weight", {h, f}, layer.down, [](int row) { return row; },
        FfnColumns(layer.ffn_lane));
  }

  // A tile a KV head: the key's rows in its lower lane half, the value's in its upper.
  absl::Status KeysAndValues(const std::string& layer, const SplitMatrix& to) {
    const ColumnsOf hidden = Packed(plan_.weights, m_.hidden_size);
    for (const bool value : {false, true}) {
      const std::string name = absl::StrCat(layer, "self_attn.", value ? "v" : "k", "_proj.weight");
      const auto row_of = [&](int row) {
        const int head = plan_.SlotOf(chip_, row / kTileRows).kv_head;
        const int element = row % kTileRows - (value ? kHalfLanes : 0);
        if (head < 0 || element < 0 || element >= m_.head_dim) return -1;
        return head * m_.head_dim + (value ? element : plan_.cache().KeyElement(0, element));
      };
      RETURN_IF_ERROR(Matrix2(name, {m_.kv_size(), m_.hidden_size}, to, row_of, hidden));
    }
    return absl::OkStatus();
  }

  absl::Status Gain(const std::string& name, Quad at) {
    const int64_t shape[] = {m_.hidden_size};
    std::vector<float> gain(m_.hidden_size);
    RETURN_IF_ERROR(weights_.ReadF32(name, shape, std::span(gain)));
    for (int w = 0; w < plan_.hidden_words(); ++w) {
      const int n = std::min(kLanes, m_.hidden_size - w * kLanes);
      StoreQuad(memory_, at + w, std::span(gain).subspan(w * kLanes, n));
    }
    return absl::OkStatus();
  }

  void Constants() {
    std::array<float, kLanes> lanes;
    for (int t = 0; t < plan_.cache().key_tiles(); ++t) {
      for (int i = 0; i < kLanes; ++i) lanes[i] = static_cast<float>(t * kLanes + i);
      StoreQuad(memory_, map_.iota + t, lanes);
    }
    lanes.fill(0);
    std::fill_n(lanes.begin(), kHalfLanes, std::bit_cast<float>(0xffffffffu));
    StoreQuad(memory_, map_.low_half, lanes);
    for (int e = 0; e < plan_.cache().group_elements(0); ++e) {
      std::array<uint16_t, kLanes> hot{};
      hot[e] = kHalfOne;
      StorePair(memory_, map_.identity + e, hot);
    }
    for (const LayerMap& layer : map_.layers) HeadsMask(layer);
    if (plan_.kv_cache != NumberFormat::kInt8) OnesBesideValues();
  }

  // An fp16 cache's, in the upper lanes of its values.
  void OnesBesideValues() {
    std::array<uint16_t, kHalfLanes> ones;
    ones.fill(kHalfOne);
    for (int pair = 0; pair < kWeightSlices / 2; ++pair) {
      for (const LayerMap& layer : map_.layers) {
        for (int values : layer.values) {
          for (int r = 0; r < plan_.cache().value_rows(); ++r) {
            StorePlanes(WeightSlice(kAttentionSide, 2 * pair), values + r, kHalfLanes, ones);
          }
        }
      }
    }
  }

  void HeadsMask(const LayerMap& layer) {
    if (layer.heads_lane == 0) return;
    const int lanes = plan_.weights == NumberFormat::kInt8 ? kLanes : kHalfLanes;
    std::array<uint16_t, kLanes> mask{};
    std::fill_n(mask.begin() + layer.heads_lane, plan_.query_heads() * m_.head_dim % lanes, 0xffff);
    StorePair(memory_, layer.heads_mask, mask);
  }

  const Plan& plan_;
  const ModelConfig& m_;
  const StageShape& stage_;
  const int chip_;
  const ModelMap& map_;
  const Checkpoint& weights_;
  HostMemory& memory_;
};

}  // namespace

void StoreQuad(HostMemory& memory, Quad at, std::span<const float> lanes) {
  std::array<uint8_t, kLanes> plane;
  for (int k = 0; k < 4; ++k) {
    for (size_t i = 0; i < lanes.size(); ++i) {
      plane[i] = static_cast<uint8_t>(std::bit_cast<uint32_t>(lanes[i]) >> (8 * k));
    }
    memory.Store(ColumnSlice(at.side, at.column, k), at.address, 0,
                 std::span(plane).first(lanes.size()));
  }
}

void StorePair(HostMemory& memory, Pair at, std::span<const uint16_t> lanes) {
  std::array<uint8_t, kLanes> plane;
  for (int k = 0; k < 2; ++k) {
    for (size_t i = 0; i < lanes.size(); ++i) plane[i] = static_cast<uint8_t>(lanes[i] >> (8 * k));
    memory.Store(ColumnSlice(at.side, at.column, at.plane + k), at.address, 0,
                 std::span(plane).first(lanes.size()));
  }
}

std::vector<float> LoadQuad(const HostMemory& memory, Quad at) {
  std::array<uint32_t, kLanes> bits{};
  std::array<uint8_t, kVectorBytes> plane;
  for (int k = 0; k < 4; ++k) {
    memory.Load(ColumnSlice(at.side, at.column, k), at.address, plane);
    for (int i = 0; i < kLanes; ++i) bits[i] |= uint32_t{plane[i]} << (8 * k);
  }
  std::vector<float> out(kLanes);
  std::transform(bits.begin(), bits.end(), out.begin(),
                 [](uint32_t b) { return std::bit_cast<float>(b); });
  return out;
}

absl::Status WriteModel(const Plan& plan, const StageShape& stage, int chip, const ModelMap& map,
                        const Checkpoint& weights, HostMemory& memory) {
  return ModelWriter(plan, stage, chip, map, weights, memory).Write();
}

int64_t StepOutputBytes(const Plan& plan, const StageShape& stage) {
  return int64_t{plan.ShardRows(stage.head)} * sizeof(float);
}

std::vector<float> ReadLogits(const Plan& plan, const StageShape& stage, int chip,
                              std::span<const Segment32> logits, const HostMemory& memory) {
  const unsigned words = plan.ShardWords(stage.head);
  std::vector<float> lanes(size_t{words} * kLanes);
  for (const Segment32& s : logits) {
    for (int w = 0; w < s.words; ++w) {
      const std::vector<float> word = LoadQuad(memory, s.at + w);
      std::copy(word.begin(), word.end(), lanes.begin() + (s.first + w) * kLanes);
    }
  }
  std::vector<float> out(plan.ShardOf(stage.head, chip).size());
  for (size_t row = 0; row < out.size(); ++row) {
    out[row] = lanes[plan.HeadLane(stage.head, static_cast<int>(row))];
  }
  return out;
}

}  // namespace lockstep
