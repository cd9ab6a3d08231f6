// Places of a stage's data (runtime/compiler/layout.h).
#include "runtime/compiler/layout.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/compiler/landing.h"
#include "runtime/compiler/matrix_cuts.h"
#include "runtime/kernels/int8_norm.h"
#include "runtime/kernels/matmul.h"
#include "runtime/kernels/norm.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

class LayoutMaker {
 public:
  LayoutMaker(const Plan& plan, const StageShape& stage)
      : plan_(plan),
        m_(plan.model),
        stage_(stage),
        short_of_room_(false),
        cuts_(memory_, std::nullopt) {}
  // Where room is short.
  struct Dense {
    MemoryMap::Shares shares{MemoryMap::kAll, MemoryMap::kAll};
    MemoryMap::Room room = MemoryMap::kAllRoom;
    MatrixCuts::Short cuts = {};
  };
  LayoutMaker(const Plan& plan, const StageShape& stage, const Dense& dense)
      : plan_(plan),
        m_(plan.model),
        stage_(stage),
        short_of_room_(true),
        memory_(dense.shares, dense.room),
        cuts_(memory_, dense.cuts) {}

  Layout Make() {
    map_.layers.resize(stage_.layers.size());
    for (LayerMap& layer : map_.layers) MapCache(layer);
    MapEmbedding();
    // Gate and up last: they can take the activation column that o and down leave out, and the words of
    // the lower bank, where sums and arriving words are written while those stream.
    for (LayerMap& layer : map_.layers) MapAttentionAndDown(layer);
    for (LayerMap& layer : map_.layers) MapGateAndUp(layer);
    MapHead();
    MapTables();
    MapStep();
    MapScratch();
    return {map_,
            scratch_,
            use_,
            memory_.Check(),
            {memory_.excess_bytes(Hemisphere::kWest), memory_.excess_bytes(Hemisphere::kEast)}};
  }

  // After Make: which tiles go west.
  std::vector<int> Western(bool landing) const {
    SideRoom room{.room = (kColumns + kStreamQuads) * int64_t{kWordsPerSlice}};
    for (Hemisphere side : {kWest, kEast}) {
      int64_t& taken = room.taken[static_cast<int>(side)];
      taken = memory_.weight_quads(side);
      for (int c = 0; c < kColumns; ++c) taken += memory_.column_words_used(side, c);
    }
    room.landing_room =
        kWordsPerSlice - memory_.column_words_used(kWest, MatrixCuts::kLandingColumn);
    const auto add = [&](const SplitMatrix& m) {
      for (const SplitMatrix::Part& part : m.parts) {
        if (part.matrix.side == kWest) room.landing_words += part.matrix.weight_rows();
      }
    };
    add(map_.head);
    for (const LayerMap& l : map_.layers) {
      for (const SplitMatrix* m : {&l.q, &l.k, &l.v, &l.keys_values, &l.gate}) add(*m);
      for (const SplitMatrix* m : {&l.o, &l.down}) {
        if (landing) add(*m);
        const Matrix& w = m->parts.front().matrix;
        if (landing || w.side != kWest) continue;
        room.landing_words += MatrixCuts::TilesBeforeSums(w) * w.slots * w.tile_cycles(0);
      }
    }
    return cuts_.ChooseWestern(room);
  }

  // After Make: what all but weights leaves of the activation columns.
  MemoryMap::Room ActivationRoom() const {
    MemoryMap::Room room;
    for (Hemisphere side : {kWest, kEast}) {
      for (int c = 0; c < kColumns; ++c) {
        room[static_cast<int>(side)][c] =
            std::max(0, kWordsPerSlice - memory_.column_words_used(side, c));
      }
    }
    return room;
  }

 private:
  bool Int8() const { return plan_.weights == NumberFormat::kInt8; }

  // Of a batch in int8 only the head takes a norm in fp16.
  int NormedWords() const {
    return plan_.hidden_words() * (!Int8() || plan_.all_logits ? plan_.batch : 1);
  }

  // Counts what was allocated since the last call as `use`.
  void Count(int64_t SramUse::*use) {
    use_.*use += memory_.bytes_used() - counted_;
    counted_ = memory_.bytes_used();
  }

  // After the cache, whose rows are the same in all weight columns: 16 words of a row in these,
  // more words in as many as they need.
  void MapEmbedding() {
    map_.transpose_row = memory_.WeightRows(kAttentionSide, plan_.cache().transpose_rows());
    Count(&SramUse::tables);
    const int rows = plan_.ShardRows(stage_.embedding);
    map_.embedding_side = kWest;
    const int words = plan_.hidden_words();
    map_.embedding_rows = short_of_room_ ? memory_.EmbeddingRows(kWest, words, rows)
                                         : memory_.WeightRows(kWest, CeilDiv(words, 16) * rows);
    Count(&SramUse::embedding);
  }

  bool KeysBesideValues() const {
    return short_of_room_ && plan_.cache().key_slots() == 1 && plan_.cache().value_groups() == 1;
  }

  // Vectors of a position that the heads' outputs take end to end, or two a vector.
  int HeadWords() const {
    return HeadsEndToEnd() ? CeilDiv(plan_.query_heads() * m_.head_dim, kLanes)
                           : CeilDiv(plan_.outputs(), 2);
  }

  // Saves slots where heads do not fill theirs.
  bool HeadsEndToEnd() const { return KeysBesideValues() && m_.head_dim < kHalfLanes; }

  // Before the weights: the cache's rows are the same in all weight columns.
  void MapCache(LayerMap& layer) {
    for (int s = 0; s < plan_.sequences * plan_.kv_slots; ++s) {
      layer.keys.push_back(memory_.WeightRows(kAttentionSide, plan_.cache().key_rows()));
      layer.values.push_back(memory_.WeightRows(kAttentionSide, plan_.cache().value_rows()));
      if (plan_.cache().int8()) layer.scales.push_back(MapScales(plan_, memory_));
    }
    Count(&SramUse::kv_cache);
  }

  void MapAttentionAndDown(LayerMap& layer) {
    MapHeads(layer);
    MapOutput(layer);
    const MatrixCuts::Ended down = cuts_.SplitSharing(m_.hidden_size, plan_.ffn_rows, plan_.weights);
    layer.down = down.matrix, layer.ffn_lane = down.lane;
    layer.attention_gain = memory_.Words(kEast, 0, plan_.hidden_words());
    layer.mlp_gain = memory_.Words(kEast, 0, plan_.hidden_words());
    Count(&SramUse::layers);
  }

  void MapGateAndUp(LayerMap& layer) {
    const NumberFormat f = plan_.weights;
    // Side by side, so that words of both are there at the same time. The last rows stand where the
    // columns of down that they meet do.
    const Matrix ffn{.rows = plan_.ffn_rows + layer.ffn_lane,
                     .slots = MatrixCuts::SlotsOf(m_.hidden_size, f),
                     .format = f,
                     .last_first_row = layer.ffn_lane};
    layer.gate = cuts_.SplitAt(ffn, ffn.tiles(), false, MemoryMap::Turn::kFirst);
    layer.up = cuts_.SplitAt(ffn, 0, false, MemoryMap::Turn::kFirst);
    Count(&SramUse::layers);
  }

  // Rows of heads: two slots of queries a tile (one a lane half); a slot of a key a tile, twice; a
  // group of a value a tile.
  void MapHeads(LayerMap& layer) {
    const CacheShape cache = plan_.cache();
    const int slots = cache.key_slots(), groups = cache.value_groups();
    const int last_slot = cache.slot_elements(slots - 1), heads = plan_.query_heads();
    Matrix m{.slots = MatrixCuts::SlotsOf(m_.hidden_size, plan_.weights),
             .format = plan_.weights,
             .half_rows = cache.slot_elements(0)};
    m.rows = (heads * slots - 1) * kHalfLanes + last_slot;
    layer.q = cuts_.Split(m, cache.rotary_tables());
    m.rows = (plan_.kv_slots * slots - 1) * kTileRows + kHalfLanes + last_slot;
    if (KeysBesideValues()) {
      layer.keys_values = cuts_.Split(m);
      return;
    }
    layer.k = cuts_.Split(m, slots);
    m.rows = (plan_.kv_slots * groups - 1) * kTileRows + cache.group_elements(groups - 1);
    m.half_rows = kHalfLanes;
    layer.v = cuts_.Split(m);
  }

  // A vector of a head a slot, or two: each has a vector of its own in fp16, in int8 they are
  // packed.
  void MapOutput(LayerMap& layer) {
    layer.heads_end_to_end = HeadsEndToEnd();
    if (layer.heads_end_to_end) {
      const MatrixCuts::Ended o =
          cuts_.SplitSharing(m_.hidden_size, plan_.query_heads() * m_.head_dim, plan_.weights);
      layer.o = o.matrix, layer.heads_lane = o.lane;
      if (o.lane > 0) layer.heads_mask = memory_.PairWords(kEast, 2, 0, 1);
      return;
    }
    const bool packed = Int8();
    const int outputs = plan_.outputs();
    layer.o = cuts_.SplitSummed({.rows = m_.hidden_size,
                                 .slots = packed ? CeilDiv(outputs, 2) : outputs,
                                 .slot_stride = packed ? 1 : 2,
                                 .format = plan_.weights});
  }

  void MapHead() {
    const int rows = plan_.ShardRows(stage_.head);
    if (rows == 0) return;
    map_.final_gain = memory_.Words(kEast, 0, plan_.hidden_words());
    map_.head = cuts_.Split({.rows = plan_.HeadLane(stage_.head, rows - 1) + 1,
                             .slots = MatrixCuts::SlotsOf(m_.hidden_size, NumberFormat::kFp16),
                             .half_rows = plan_.HeadHalf(stage_.head)});
    Count(&SramUse::head);
  }

  void MapTables() {
    map_.iota = memory_.Words(kEast, 0, plan_.cache().key_tiles());
    map_.low_half = memory_.Words(kWest, 1, 1);
    map_.identity = memory_.PairWords(kAttentionSide, 1, 2, plan_.cache().group_elements(0));
    Count(&SramUse::tables);
  }

  void MapStep() {
    const int n = plan_.sequences, positions = n * plan_.batch;
    map_.token_map = memory_.SingleWords(map_.embedding_side, 0, 0, positions);
    map_.position = memory_.Words(kWest, 2, positions);
    const int rotary = positions * plan_.cache().rotary_tables();
    map_.cos = memory_.Words(kWest, 0, rotary);
    map_.sin_low = memory_.Words(kWest, 1, rotary);
    map_.sin_high = memory_.Words(kEast, 0, rotary);
    map_.key_maps = memory_.SingleWords(kAttentionSide, 0, 0, n * plan_.cache().rows_a_word());
    map_.transpose_maps = memory_.SingleWords(kAttentionSide, 0, 3, n * kTransposeMaps);
    // What an append reads all the time lies beside what a softmax reads and writes.
    map_.value_map_read = memory_.SingleWords(kAttentionSide, 0, 0, n);
    map_.value_map_write = memory_.SingleWords(kAttentionSide, 0, 1, n);
    map_.one_hot = memory_.PairWords(kAttentionSide, 0, 2, n);
  }

  // For all positions of a batch; a single one takes the first part of each area.
  void MapScratch() {
    const int batch = plan_.batch, words = plan_.hidden_words() * batch;
    const CacheShape cache = plan_.cache();
    const int queries = plan_.queries_per_slot * batch, tiles = cache.key_tiles();
    const int ffn = plan_.ffn_words() * batch;
    const int query_vectors = plan_.query_vectors() * batch, outputs = plan_.outputs() * batch;
    const int keys = plan_.kv_slots * cache.key_slots() * batch;
    const int values = plan_.kv_slots * cache.value_groups() * batch;
    const int logits = plan_.sequences * plan_.ShardWords(stage_.head);
    ScratchMap& s = scratch_;
    s.residual = memory_.Words(kWest, 0, words);
    s.maxima = memory_.Words(kWest, 1, (cache.int8() ? 3 : 2) * queries);
    s.bias = memory_.Words(kWest, 0, tiles * batch);
    s.norm_scratch =
        memory_.Words(kEast, 2, std::max((Int8() ? Int8Norm::kScratch : Norm::kScratch) * batch,
                                         Int8Norm::kScratch));
    s.norm_rest = memory_.Words(kEast, 1, batch);
    s.norm_half = memory_.Words(kWest, 2, batch);
    s.partial16 = memory_.PairWords(kWest, 1, 0, LandingRows(plan_));
    s.landing = memory_.Words(kWest, 2, LandingRows(plan_) * plan_.chips);
    for (Hemisphere side : {kWest, kEast}) {
      const int i = static_cast<int>(side);
      if (Int8() && batch > 1) MapBatch(side);
      s.normed.half[i] = memory_.PairWords(side, 1, 0, NormedWords());
      s.mlp.half[i] = memory_.PairWords(side, 0, 0, ffn);
      s.heads_out.half[i] = memory_.PairWords(side, 0, 0, outputs);
      if (HeadsEndToEnd()) {
        s.heads_end_to_end.half[i] = memory_.PairWords(side, 1, 0, batch * HeadWords());
      }
      s.partial.y[i] = memory_.Words(side, 1, words);
      if (side == kWest) s.gate.y[i] = memory_.Words(side, 1, ffn);
      if (side == kEast) s.up.y[i] = memory_.Words(side, 2, ffn);
      s.q32.y[i] = memory_.Words(side, 2, query_vectors);
      if (KeysBesideValues()) {
        s.keys_values32.y[i] = memory_.Words(side, 2, keys);
      } else {
        s.k32.y[i] = memory_.Words(side, 2, keys);
        s.v32.y[i] = memory_.Words(side, 2, values);
      }
      s.logits[i] = memory_.Words(side, 2, logits * (plan_.all_logits ? batch : 1));
      if (!Int8()) continue;
      MapQuantised(s.normed, side, 1, GrowingGroups(plan_.hidden_words()));
      MapQuantised(s.mlp, side, 0, GroupsOfMade(plan_.ffn_words()));
      MapQuantised(s.heads_out, side, 1, {HeadWords()});
    }
    s.normed_late = s.normed;
    std::reverse(s.normed_late.groups.begin(), s.normed_late.groups.end());
    if (Int8() && !HeadsEndToEnd()) {
      s.packed_heads = memory_.PairWords(kWest, 1, 0, batch * HeadWords());
    }
    if (KeysBesideValues()) s.key_twice = memory_.Words(kAttentionSide, 1, keys);
    s.q = memory_.PairWords(kAttentionSide, 1, 0, query_vectors);
    s.k = memory_.PairWords(kAttentionSide, 1, 0, keys);
    s.v = memory_.PairWords(kAttentionSide, 1, 2, values);
    s.p = memory_.PairWords(kAttentionSide, 1, 0, queries * tiles);
    s.scores = memory_.Words(kAttentionSide, 2, queries * tiles);
    s.weighed = memory_.Words(kAttentionSide, 2, outputs);
    s.int8_cache = MapInt8Cache(plan_, memory_);
    for (int half : {0, 1}) {
      if (stage_.layers.begin > 0) break;
      s.inbox[half] = memory_.PairWords(kEast, 2, 2 * half, InboxWords(plan_, stage_));
    }
    Count(&SramUse::activations);
  }

  // What products of a batch share.
  void MapBatch(Hemisphere side) {
    const int i = static_cast<int>(side), sums = kBatchSums * plan_.batch;
    scratch_.batch_rest[i] = memory_.Words(Other(side), 2, plan_.batch);
    scratch_.batch_even[i] = memory_.Words(side, 0, sums);
    for (int column : {1, 2}) scratch_.batch_odd[i][column - 1] = memory_.Words(side, 3 - column, sums);
  }
  // The int8 form of a position's vectors whose fp16 form is in planes 0 and 1 of column 0 or 1.
  void MapQuantised(OperandMap& operand, Hemisphere side, int column, std::vector<int> groups) {
    const int i = static_cast<int>(side);
    operand.groups = std::move(groups);
    const int words = std::accumulate(operand.groups.begin(), operand.groups.end(), 0);
    const int batch = plan_.batch;
    operand.bytes[i] = memory_.SingleWords(side, column, 2, words * batch);
    operand.scale[i] = memory_.Words(side, 1, static_cast<int>(operand.groups.size()) * batch);
  }

  const Plan& plan_;
  const ModelConfig& m_;
  const StageShape& stage_;
  const bool short_of_room_;
  MemoryMap memory_;
  MatrixCuts cuts_;
  int64_t counted_ = 0;
  ModelMap map_;
  ScratchMap scratch_;
  SramUse use_;
};

// What lies on which side does not depend on how much of the activation columns weights take, nor
// do the activations, so both sides are searched at once for as little as they need.
Layout LayOutDensely(const Plan& plan, const StageShape& stage, bool landing) {
  LayoutMaker::Dense dense;
  dense.cuts.landing = landing;
  LayoutMaker halves(plan, stage, dense);
  halves.Make();
  dense.cuts.western = halves.Western(landing);
  LayoutMaker most(plan, stage, dense);
  Layout layout = most.Make();
  dense.room = most.ActivationRoom();
  // In steps of a share: too few, enough.
  constexpr int kSteps = 256, kStep = MemoryMap::kAll / kSteps;
  std::array<int, 2> none{-1, -1}, enough{kSteps, kSteps};
  const auto look = [&](int west, int east) {
    dense.shares = {west * kStep, east * kStep};
    layout = LayoutMaker(plan, stage, dense).Make();
  };
  // As many outer slots as leave room for all.
  for (dense.cuts.outer = landing ? 0 : MatrixCuts::OuterSlots(plan);; --dense.cuts.outer) {
    look(kSteps, kSteps);
    if (layout.excess[0] == 0 || dense.cuts.outer == 0) break;
  }
  for (int side : {0, 1}) {
    if (layout.excess[side] > 0) none[side] = kSteps - 1;
  }
  while (none[0] + 1 < enough[0] || none[1] + 1 < enough[1]) {
    const std::array<int, 2> at{(none[0] + enough[0]) / 2, (none[1] + enough[1]) / 2};
    look(at[0], at[1]);
    for (int side : {0, 1}) {
      if (none[side] + 1 < enough[side]) {
        (layout.excess[side] > 0 ? none : enough)[side] = at[side];
      }
    }
  }
  look(enough[0], enough[1]);
  return layout;
}

}  // namespace

// Weights keep to their own columns if they fit there; else all lies denser.
Layout LayOut(const Plan& plan, const StageShape& stage) {
  Layout layout = LayoutMaker(plan, stage).Make();
  for (bool landing : {false, true}) {
    if (!layout.fits.ok()) layout = LayOutDensely(plan, stage, landing);
  }
  if (layout.fits.ok()) return layout;
  layout.fits = absl::ResourceExhaustedError(
      absl::StrCat(layout.fits.message(), "; in all ", layout.excess_bytes(), " B of a chip's ",
                   layout.use.total(), ": layers ", layout.use.layers, ", embedding ",
                   layout.use.embedding, ", head ", layout.use.head, ", KV cache ",
                   layout.use.kv_cache, ", tables ", layout.use.tables, ", activations ",
                   layout.use.activations, " (a chip has ", kSramBytes, ")"));
  return layout;
}

}  // namespace lockstep
