// Places of a stage's data (runtime/compiler/layout.h).
#include "runtime/compiler/layout.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/kernels/norm.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

constexpr int kStepMaps = kWeightSlices / 2;  // of keys, and of values, for one step

int SlotsOf(int elements, NumberFormat format) {
  return CeilDiv(elements, format == NumberFormat::kInt8 ? kLanes : kHalfLanes);
}

class LayoutMaker {
 public:
  // shares: of the slots of a matrix that also use the activation columns
  // (runtime/compiler/memory_map.h).
  LayoutMaker(const Plan& plan, const StageShape& stage, const MemoryMap::Shares& shares)
      : plan_(plan),
        m_(plan.model),
        stage_(stage),
        short_of_room_(shares[0] > 0),
        memory_(shares) {}

  Layout Make() {
    MapEmbedding();
    map_.layers.resize(stage_.layers.size());
    for (LayerMap& layer : map_.layers) MapCache(layer);
    // Sides are made alike full by what comes last, if room is short.
    if (short_of_room_) MapHead();
    for (LayerMap& layer : map_.layers) MapLayer(layer);
    if (!short_of_room_) MapHead();
    MapTables();
    MapStep();
    MapScratch();
    return {map_,
            scratch_,
            use_,
            memory_.Check(),
            {memory_.excess_bytes(Hemisphere::kWest), memory_.excess_bytes(Hemisphere::kEast)}};
  }

 private:
  // Counts what was allocated since the last call as `use`.
  void Count(int64_t SramUse::*use) {
    use_.*use += memory_.bytes_used() - counted_;
    counted_ = memory_.bytes_used();
  }

  // While products stream whose sums leave for other chips, western column 2 takes what arrives: no
  // weights of theirs there.
  static constexpr int kBesideLanding = kColumns - 1;

  // Row tiles shared between the hemispheres.
  SplitMatrix Split(int rows, int slots, NumberFormat format) {
    const Matrix whole{.rows = rows, .slots = slots, .format = format};
    return SplitAt(whole, Western(whole));
  }
  // The same for a product whose sums leave for other chips.
  SplitMatrix SplitSummed(int rows, int slots, NumberFormat format, int slot_stride) {
    const Matrix whole{.rows = rows, .slots = slots, .slot_stride = slot_stride, .format = format};
    return SplitAt(whole, Western(whole), true);
  }
  // Groups of `unit` tiles stay together; `half_rows` of each lane half hold weights.
  SplitMatrix SplitUnits(int rows, int slots, NumberFormat format, int unit, int half_rows) {
    const Matrix whole{.rows = rows, .slots = slots, .format = format, .half_rows = half_rows};
    return SplitAt(whole, Western(whole) / unit * unit);
  }
  // Tiles that go west: half of them, or where room is short as many as make both sides alike full.
  int Western(const Matrix& whole) const {
    const int tiles = whole.tiles();
    if (!short_of_room_) {
      return tiles / 2 + (tiles % 2 == 1 && memory_.Roomier() == kWest ? 1 : 0);
    }
    const int64_t tile = int64_t{whole.tile_cycles(0)} * whole.slots * kStreamQuads;
    const int64_t ahead =
        memory_.weight_quads(Hemisphere::kEast) - memory_.weight_quads(Hemisphere::kWest);
    return static_cast<int>(std::clamp<int64_t>((tiles * tile + ahead) / (2 * tile), 0, tiles));
  }
  SplitMatrix SplitAt(const Matrix& whole, int western_tiles, bool summed = false) {
    const int cut = std::min(western_tiles * kTileRows, whole.rows);
    SplitMatrix out;
    for (Hemisphere side : {kWest, kEast}) {
      const int first = side == kWest ? 0 : cut;
      Matrix part = whole;
      part.side = side;
      part.rows = side == kWest ? cut : whole.rows - cut;
      if (part.rows == 0) continue;
      const int columns = summed && side == kWest ? kBesideLanding : kColumns;
      out.parts.push_back({memory_.Place(part, columns), first});
      if (part.format == NumberFormat::kInt8) {
        out.parts.back().row_scale = memory_.Words(Other(side), 0, part.tiles());
      }
    }
    return out;
  }

  void MapEmbedding() {
    const int rows = plan_.ShardRows(stage_.embedding);
    map_.embedding_side = kWest;
    map_.embedding_rows = memory_.WeightRows(kWest, CeilDiv(plan_.hidden_words(), 16) * rows);
    Count(&SramUse::embedding);
    map_.transpose_row = memory_.WeightRows(kAttentionSide, plan_.cache().transpose_rows());
    Count(&SramUse::tables);
  }

  bool KeysBesideValues() const {
    return short_of_room_ && plan_.cache().key_slots() == 1 && plan_.cache().value_groups() == 1;
  }

  // Saves slots where heads do not fill theirs. Two heads of an int8 matrix share a slot as it is.
  bool HeadsEndToEnd() const {
    return KeysBesideValues() && plan_.weights == NumberFormat::kFp16 && m_.head_dim < kHalfLanes;
  }

  // Before the weights: the cache's rows are the same in all weight columns.
  void MapCache(LayerMap& layer) {
    for (int s = 0; s < plan_.sequences * plan_.kv_slots; ++s) {
      layer.keys.push_back(memory_.WeightRows(kAttentionSide, plan_.cache().key_rows()));
      layer.values.push_back(memory_.WeightRows(kAttentionSide, plan_.cache().value_rows()));
    }
    Count(&SramUse::kv_cache);
  }

  void MapLayer(LayerMap& layer) {
    const NumberFormat f = plan_.weights;
    const int hidden = SlotsOf(m_.hidden_size, f), heads = plan_.query_heads();
    const int words = plan_.hidden_words();
    // Rows of heads: two slots of queries a tile (one a lane half); a slot of a key a tile, twice;
    // a group of a value a tile.
    const CacheShape cache = plan_.cache();
    const int slots = cache.key_slots(), groups = cache.value_groups();
    const int last_slot = cache.slot_elements(slots - 1);
    const int half_rows = cache.slot_elements(0);
    layer.q = SplitUnits((heads * slots - 1) * kHalfLanes + last_slot, hidden, f,
                         cache.rotary_tables(), half_rows);
    if (KeysBesideValues()) {
      layer.keys_values = SplitUnits((plan_.kv_slots - 1) * kTileRows + kHalfLanes + last_slot,
                                     hidden, f, 1, half_rows);
    } else {
      layer.k = SplitUnits((plan_.kv_slots * slots - 1) * kTileRows + kHalfLanes + last_slot,
                           hidden, f, slots, half_rows);
      layer.v = Split((plan_.kv_slots * groups - 1) * kTileRows + cache.group_elements(groups - 1),
                      hidden, f);
    }
    // Before gate and up, which can take the activation column that these leave out.
    // A vector of a head a slot, or two: each has a vector of its own in fp16, in int8 they are
    // packed.
    const bool packed = f == NumberFormat::kInt8;
    const int outputs = heads * groups;
    layer.heads_end_to_end = HeadsEndToEnd();
    if (layer.heads_end_to_end) {
      layer.o = SplitSummed(m_.hidden_size, SlotsOf(heads * m_.head_dim, f), f, 1);
    } else {
      layer.o =
          SplitSummed(m_.hidden_size, packed ? CeilDiv(outputs, 2) : outputs, f, packed ? 1 : 2);
    }
    layer.down = SplitSummed(m_.hidden_size, SlotsOf(plan_.ffn_rows, f), f, 1);
    // Side by side, so that words of both are there at the same time.
    const Matrix ffn{.rows = plan_.ffn_rows, .slots = hidden, .format = f};
    layer.gate = SplitAt(ffn, ffn.tiles());
    layer.up = SplitAt(ffn, 0);
    layer.attention_gain = memory_.Words(kEast, 0, words);
    layer.mlp_gain = memory_.Words(kEast, 0, words);
    Count(&SramUse::layers);
  }

  void MapHead() {
    const int rows = plan_.ShardRows(stage_.head);
    if (rows == 0) return;
    map_.final_gain = memory_.Words(kEast, 0, plan_.hidden_words());
    map_.head = Split(rows, SlotsOf(m_.hidden_size, NumberFormat::kFp16), NumberFormat::kFp16);
    Count(&SramUse::head);
  }

  void MapTables() {
    const int rotary = plan_.context * plan_.cache().rotary_tables();
    map_.cos_table = memory_.Words(kEast, 0, rotary);
    map_.sin_low_table = memory_.Words(kEast, 1, rotary);
    map_.sin_high_table = memory_.Words(kWest, 1, rotary);
    map_.iota = memory_.Words(kEast, 0, plan_.cache().key_tiles());
    map_.low_half = memory_.Words(kWest, 1, 1);
    map_.identity = memory_.PairWords(kAttentionSide, 2, 0, plan_.cache().group_elements(0));
    Count(&SramUse::tables);
  }

  void MapStep() {
    const int n = plan_.sequences, positions = n * plan_.batch;
    map_.token_map = memory_.SingleWords(map_.embedding_side, 0, 0, positions);
    map_.position_map_west = memory_.SingleWords(kWest, 0, 0, n);
    map_.position_map_east = memory_.SingleWords(kEast, 0, 0, n);
    map_.position = memory_.Words(kWest, 0, positions);
    map_.key_maps = memory_.SingleWords(kAttentionSide, 0, 0, n * kStepMaps);
    map_.transpose_maps = memory_.SingleWords(kAttentionSide, 0, 3, n * kStepMaps);
    map_.value_map_read = memory_.SingleWords(kAttentionSide, 0, 1, n);
    map_.value_map_write = memory_.SingleWords(kAttentionSide, 0, 2, n);
    map_.one_hot = memory_.PairWords(kAttentionSide, 2, 2, n);
  }

  // For all positions of a batch; a single one takes the first part of each area.
  void MapScratch() {
    const int batch = plan_.batch, words = plan_.hidden_words() * batch;
    const CacheShape cache = plan_.cache();
    const int queries = plan_.queries_per_slot * batch, tiles = cache.key_tiles();
    const int ffn = plan_.ffn_words() * batch, tables = cache.rotary_tables() * batch;
    const int query_vectors = plan_.query_vectors() * batch, outputs = plan_.outputs() * batch;
    const int keys = plan_.kv_slots * cache.key_slots() * batch;
    const int values = plan_.kv_slots * cache.value_groups() * batch;
    const int logits = plan_.sequences * plan_.ShardWords(stage_.head);
    ScratchMap& s = scratch_;
    s.residual = memory_.Words(kWest, 0, words);
    s.maxima = memory_.Words(kWest, 0, 2 * queries);
    s.cos = memory_.Words(kWest, 0, tables);
    s.sin_low = memory_.Words(kWest, 1, tables);
    s.sin_high = memory_.Words(kEast, 0, tables);
    s.bias = memory_.Words(kWest, 1, tiles * batch);
    s.norm_scratch = memory_.Words(kEast, 2, Norm::kScratch * batch);
    s.norm_rest = memory_.Words(kEast, 1, batch);
    s.norm_half = memory_.Words(kWest, 2, batch);
    s.partial16 = memory_.PairWords(kWest, 1, 0, words);
    s.landing = memory_.Words(kWest, 2, words * plan_.chips);
    for (Hemisphere side : {kWest, kEast}) {
      const int i = static_cast<int>(side);
      s.normed.half[i] = memory_.PairWords(side, 1, 0, words);
      s.mlp.half[i] = memory_.PairWords(side, 0, 0, ffn);
      s.heads_out.half[i] = memory_.PairWords(side, 0, 0, outputs);
      if (HeadsEndToEnd()) {
        s.heads_end_to_end.half[i] =
            memory_.PairWords(side, 1, 0, CeilDiv(plan_.query_heads() * m_.head_dim, kLanes));
      }
      MapProduct(s.partial, side, 1, words);
      if (side == kWest) MapProduct(s.gate, side, 1, ffn);
      if (side == kEast) MapProduct(s.up, side, 2, ffn);
      MapProduct(s.q32, side, 2, query_vectors);
      if (KeysBesideValues()) {
        MapProduct(s.keys_values32, side, 2, keys);
      } else {
        MapProduct(s.k32, side, 2, keys);
        MapProduct(s.v32, side, 2, values);
      }
      s.logits[i] = memory_.Words(side, 2, logits * (plan_.batch_logits ? batch : 1));
      if (plan_.weights != NumberFormat::kInt8) continue;
      MapQuantised(s.normed, side, 1, words);
      MapQuantised(s.mlp, side, 0, ffn);
      MapQuantised(s.heads_out, side, 1, CeilDiv(outputs, 2));
    }
    if (plan_.weights == NumberFormat::kInt8) {
      s.packed_heads = memory_.PairWords(kWest, 1, 0, CeilDiv(outputs, 2));
    }
    if (KeysBesideValues()) s.key_twice = memory_.Words(kAttentionSide, 1, keys);
    s.q = memory_.PairWords(kAttentionSide, 1, 0, query_vectors);
    s.k = memory_.PairWords(kAttentionSide, 1, 0, keys);
    s.v = memory_.PairWords(kAttentionSide, 1, 2, values);
    s.p = memory_.PairWords(kAttentionSide, 1, 0, queries * tiles);
    s.scores = memory_.Words(kAttentionSide, 2, queries * tiles);
    s.weighed = memory_.Words(kAttentionSide, 2, outputs);
    Count(&SramUse::activations);
  }

  // Results of a matrix' part on `side`, in column 1 or 2.
  void MapProduct(ProductMap& product, Hemisphere side, int column, int words) {
    const int i = static_cast<int>(side);
    product.y[i] = memory_.Words(side, column, words);
    if (plan_.weights != NumberFormat::kInt8) return;
    product.even[i] = memory_.Words(side, 0, words);
    product.odd[i] = memory_.Words(side, 3 - column, words);
  }
  // The int8 form of a vector whose fp16 form is in planes 0 and 1 of column 0 or 1.
  void MapQuantised(OperandMap& operand, Hemisphere side, int column, int words) {
    const int i = static_cast<int>(side);
    operand.bytes[i] = memory_.SingleWords(side, column, 2, words);
    operand.scale[i] = memory_.Words(side, 1, 1);
  }

  const Plan& plan_;
  const ModelConfig& m_;
  const StageShape& stage_;
  const bool short_of_room_;
  MemoryMap memory_;
  int64_t counted_ = 0;
  ModelMap map_;
  ScratchMap scratch_;
  SramUse use_;
};

}  // namespace

ModelMap AtSequence(ModelMap map, const Plan& plan, int sequence) {
  for (Single* single : {&map.token_map, &map.position_map_west, &map.position_map_east,
                         &map.value_map_read, &map.value_map_write}) {
    *single = *single + sequence;
  }
  map.key_maps = map.key_maps + sequence * kStepMaps;
  map.transpose_maps = map.transpose_maps + sequence * kStepMaps;
  map.position = map.position + sequence;
  map.one_hot = map.one_hot + sequence;
  const int first = sequence * plan.kv_slots;
  for (LayerMap& layer : map.layers) {
    for (std::vector<int>* rows : {&layer.keys, &layer.values}) {
      *rows = std::vector<int>(rows->begin() + first, rows->begin() + first + plan.kv_slots);
    }
  }
  return map;
}

// Weights keep to their own columns if they fit there, and take as little of the others as they
// need.
Layout LayOut(const Plan& plan, const StageShape& stage) {
  constexpr int kFine = MemoryMap::kWhole / 128, kCoarse = 8 * kFine;
  Layout best = LayoutMaker(plan, stage, {0, 0}).Make();
  if (best.fits.ok()) return best;
  // What lies on which side does not depend on the shares, so each side has its own.
  MemoryMap::Shares shares{kCoarse, kCoarse};
  std::array<int64_t, 2> least{INT64_MAX, INT64_MAX};
  const auto look = [&](const MemoryMap::Shares& at) {
    const Layout layout = LayoutMaker(plan, stage, at).Make();
    for (int side : {0, 1}) {
      if (layout.excess[side] < least[side])
        least[side] = layout.excess[side], shares[side] = at[side];
    }
    return std::max(least[0], least[1]) == 0;
  };
  bool found = false;
  for (int s = kCoarse; s <= MemoryMap::kWhole && !found; s += kCoarse) found = look({s, s});
  const MemoryMap::Shares around = shares;
  for (int d = kFine - kCoarse; d < kCoarse && !found; d += kFine) {
    const auto near = [&](int share) { return std::min(share + d, MemoryMap::kWhole); };
    found = look({near(around[0]), near(around[1])});
  }
  Layout mixed = LayoutMaker(plan, stage, shares).Make();
  if (mixed.fits.ok() || mixed.excess_bytes() < best.excess_bytes()) best = std::move(mixed);
  if (best.fits.ok()) return best;
  best.fits = absl::ResourceExhaustedError(absl::StrCat(
      best.fits.message(), "; in all ", best.excess_bytes(), " B of a chip's ", best.use.total(),
      ": layers ", best.use.layers, ", embedding ", best.use.embedding, ", head ", best.use.head,
      ", KV cache ", best.use.kv_cache, ", tables ", best.use.tables, ", activations ",
      best.use.activations, " (a chip has ", kSramBytes, ")"));
  return best;
}

}  // namespace lockstep
