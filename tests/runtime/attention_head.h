#pragma once
// One KV head with its query heads for the tests of attention: places, step inputs, the cache.

#include <bit>
#include <numeric>
#include <vector>

#include "runtime/compiler/memory_map.h"
#include "runtime/kernels/attention.h"
#include "runtime/kernels/int8_cache.h"
#include "tests/runtime/one_chip.h"

namespace lockstep {

// One KV head with its query heads, and the operands of every kernel of attention, for `batch`
// positions at a time.
class AttentionHead {
 public:
  // first_head: how many heads stand before ours in the vectors of a query.
  AttentionHead(int context, int head_dim, int heads, int first_head = 0, int batch = 1,
                NumberFormat format = NumberFormat::kFp16)
      : shape{context, head_dim, format},
        heads(heads),
        batch(batch),
        first_slot(first_head * shape.key_slots()),
        q_stride(CeilDiv(SlotEnd(), 2)) {
    const int tiles = shape.key_tiles(), queries = batch * heads;
    const int outputs = queries * shape.value_groups();
    keys = map.WeightRows(Hemisphere::kEast, shape.key_rows());
    transpose = map.WeightRows(Hemisphere::kEast, shape.transpose_rows());
    values = map.WeightRows(Hemisphere::kEast, shape.value_rows());
    k = map.PairWords(Hemisphere::kEast, 1, 0, batch * shape.key_slots());
    v = map.PairWords(Hemisphere::kEast, 1, 2, batch * shape.value_groups());
    q = map.PairWords(Hemisphere::kEast, 1, 0, batch * q_stride);
    p = map.PairWords(Hemisphere::kEast, 1, 0, queries * tiles);
    identity = map.PairWords(Hemisphere::kEast, 2, 0, shape.group_elements(0));
    one_hot = map.PairWords(Hemisphere::kEast, 2, 2, 1);
    key_maps = map.SingleWords(Hemisphere::kEast, 0, 0, shape.rows_a_word()),
    value_maps = map.SingleWords(Hemisphere::kEast, 0, 0, 16);
    read_map = map.SingleWords(Hemisphere::kEast, 0, 1, 1),
    write_map = map.SingleWords(Hemisphere::kEast, 0, 2, 1);
    scores = map.Words(Hemisphere::kEast, 2, queries * tiles),
    weighed = map.Words(Hemisphere::kEast, 2, outputs);
    maxima = map.Words(Hemisphere::kWest, 0, 3 * queries),
    low_half = map.Words(Hemisphere::kWest, 1, 1);
    bias = map.Words(Hemisphere::kWest, 1, batch * tiles);
    west = map.PairWords(Hemisphere::kWest, 0, 0, outputs),
    east = map.PairWords(Hemisphere::kEast, 0, 0, outputs);
    iota = map.Words(Hemisphere::kEast, 0, tiles);
    StoreConstants();
    if (!shape.int8()) return;
    scales = {map.Words(Hemisphere::kWest, 2, tiles), map.Words(Hemisphere::kEast, 0, tiles)};
    upper = map.Words(Hemisphere::kEast, 1, outputs);
    sums = map.Words(Hemisphere::kWest, 2, queries);
    position = map.Words(Hemisphere::kWest, 0, batch);
    masks = {map.Words(Hemisphere::kWest, 1, tiles), map.Words(Hemisphere::kWest, 1, batch)};
    scratch = {map.Words(Hemisphere::kWest, 0, 2 * batch), map.Words(Hemisphere::kWest, 1, batch),
               map.Words(Hemisphere::kEast, 2, batch)};
    bytes = map.SingleWords(Hemisphere::kEast, 2, 0, batch * shape.key_slots());
    integers = map.PairWords(Hemisphere::kEast, 2, 2, batch * shape.value_groups());
  }

  Attention kernels() { return {chip.timing, chip.placer, shape, Hemisphere::kEast, batch}; }
  Attention::ValueTables tables() const {
    return {identity, one_hot, transpose, value_maps, read_map, write_map};
  }

  void PlaceAppends() {
    if (shape.int8()) return PlaceInt8Appends();
    kernels().AppendKey(k, shape.key_slots(), key_maps, keys);
    kernels().AppendValue(v, shape.value_groups(), tables(), values);
  }
  void PlaceAll() {
    PlaceAppends();
    const int stride = heads * shape.value_groups();
    const bool found = kernels().Scores(q, q_stride, first_slot, heads, keys, scores, largest());
    if (shape.int8()) {
      kernels().ScaledSoftmax(scores, bias, scales, maxima, heads, p, sums);
      kernels().Weigh(p, heads, values, weighed, stride, upper);
      kernels().NormaliseHalves(weighed, upper, sums, low_half, heads, stride, west, east);
      return;
    }
    kernels().Softmax(scores, bias, maxima, heads, p, found);
    kernels().Weigh(p, heads, values, weighed, stride);
    kernels().Normalise(weighed, low_half, outputs(), west, east);
  }
  // An int8 cache's scores are scaled first.
  std::optional<Attention::MaskedLargest> largest() const {
    if (shape.int8()) return std::nullopt;
    return Attention::MaskedLargest{bias, maxima};
  }
  int outputs() const { return batch * heads * shape.value_groups(); }

  // The inputs of a step at `position`: what is appended (`batch` vectors of head_dim, one after
  // the other), where, and what is masked.
  void SetStep(int at, const std::vector<float>& key, const std::vector<float>& value) {
    const int d = shape.head_dim;
    std::vector<float> k_lanes(batch * shape.key_slots() * kLanes, 0.0f);
    std::vector<float> v_lanes(batch * shape.value_groups() * kLanes, 0.0f);
    for (int i = 0; i < batch * shape.key_slots() * kLanes; ++i) {
      const int e = shape.KeyElement(i / kLanes % shape.key_slots(), i % kHalfLanes);
      if (e >= 0) k_lanes[i] = key[i / kLanes / shape.key_slots() * d + e];
    }
    for (int i = 0; i < batch * d; ++i) {
      const int vector = i / d * shape.value_groups() + i % d / kHalfLanes;
      v_lanes[vector * kLanes + i % d % kHalfLanes] = value[i];
    }
    chip.Store(k, Halves(k_lanes));
    chip.Store(v, Halves(v_lanes));
    const int row = at % kTileRows, half = row / kHalfLanes;
    const int slices = shape.int8() ? 32 : 16, tile_rows = shape.int8() ? 5 : 10;
    for (int i = 0; i < slices; ++i) {
      const bool taken = i >= row % slices && i < row % slices + batch;
      const int offset = at / kTileRows * tile_rows + row % kHalfLanes / slices;
      chip.StoreMap(key_maps + i, taken ? offset : 0xffff, half * 10, half * 10 + 10);
    }
    const int lower = shape.int8() ? half * 10 : 0;
    for (int i = 0; i < 16; ++i) {
      const bool taken = i >= row % 16 && i < row % 16 + batch;
      chip.StoreMap(value_maps + i, taken ? row % kHalfLanes / 16 : 0xffff, lower, lower + 10);
    }
    const int block = at / BlockPositions() * shape.block_rows();
    chip.StoreMap(read_map, block);
    chip.StoreMap(write_map, block);
    std::vector<uint16_t> hot(kLanes, 0);
    std::fill_n(hot.begin() + at % BlockPositions(), batch, 0xffff);
    chip.Store(one_hot, hot);
    for (int b = 0; shape.int8() && b < batch; ++b) {
      chip.Fill(position + b, 1, static_cast<float>(at + b));
    }
    const int lanes = shape.key_tiles() * kLanes;
    std::vector<float> mask(batch * lanes);
    for (size_t i = 0; i < mask.size(); ++i) {
      mask[i] = static_cast<int>(i) % lanes > at + static_cast<int>(i) / lanes ? -1e30f : 0;
    }
    chip.Store(bias, mask);
  }
  // Queries position by position, head by head.
  void SetQueries(const std::vector<float>& queries) {
    std::vector<float> lanes(batch * q_stride * kLanes, 5.0f);
    const int width = shape.key_slots() * kHalfLanes;
    for (int i = 0; i < batch * heads; ++i) {
      float* at =
          &lanes[i / heads * q_stride * kLanes + first_slot * kHalfLanes + i % heads * width];
      for (int lane = 0; lane < width; ++lane) {
        const int e = shape.KeyElement(lane / kHalfLanes, lane % kHalfLanes);
        at[lane] = e < 0 ? 0 : queries[i * shape.head_dim + e];
      }
    }
    chip.Store(q, Halves(lanes));
  }

  // int8: the integers.
  std::vector<float> CachedKey(int at) {
    const int row = at % kTileRows, slices = shape.int8() ? 32 : 16;
    const int tile_rows = shape.int8() ? 5 : 10;
    std::vector<float> out(shape.head_dim);
    for (int slot = 0; slot < shape.key_slots(); ++slot) {
      const int address = keys + slot * shape.key_slot_rows() + at / kTileRows * tile_rows +
                          row % kHalfLanes / slices;
      const std::vector<float> lanes = WeightLanes(row % kHalfLanes % slices, address,
                                                   row / kHalfLanes * kHalfLanes, kHalfLanes);
      for (int lane = 0; lane < kHalfLanes; ++lane) {
        const int e = shape.KeyElement(slot, lane);
        if (e >= 0) out[e] = lanes[lane];
      }
    }
    return out;
  }
  std::vector<float> CachedValue(int at) {
    std::vector<float> out;
    const int slices = shape.int8() ? 32 : 16;
    for (int d = 0; d < shape.head_dim; ++d) {
      const int address = values + d / kHalfLanes * shape.group_rows() +
                          at / BlockPositions() * shape.block_rows() + d % kHalfLanes / slices;
      out.push_back(WeightLanes(d % kHalfLanes % slices, address, at % BlockPositions(), 1)[0]);
    }
    return out;
  }
  // Replaces key and value of a position by what an int8 cache holds for it.
  void Reread(int at, std::vector<float>* key, std::vector<float>* value) {
    if (!shape.int8()) return;
    *key = CachedKey(at), *value = CachedValue(at);
    const float k_scale = CachedScale(scales.keys, at),
                v_scale = CachedScale(scales.values, at) / 127;
    for (float& x : *key) x *= k_scale;
    for (float& x : *value) x *= v_scale;
  }
  // Of an int8 cache's key, or value, of a position.
  float CachedScale(Quad scales_of, int at) {
    return chip.Load(scales_of + at / kTileRows, 1)[at % kTileRows];
  }

  OneChip chip;
  const CacheShape shape;
  const int heads, batch, first_slot, q_stride;
  MemoryMap map;
  int keys, values, transpose;
  Pair k{}, v{}, q{}, p{}, identity{}, one_hot{}, west{}, east{};
  Single key_maps{}, value_maps{}, read_map{}, write_map{};
  Quad scores{}, weighed{}, maxima{}, low_half{}, bias{};
  // int8
  Quad iota{}, position{}, upper{}, sums{};
  CacheScales scales{};
  Int8Cache::Masks masks{};
  Int8Cache::Scratch scratch{};
  Single bytes{};
  Pair integers{};

 private:
  int BlockPositions() const { return shape.int8() ? kLanes : kHalfLanes; }
  void PlaceInt8Appends() {
    Int8Cache cache{chip.timing, chip.placer, shape, batch, 1};
    cache.Mask(iota, position, masks);
    cache.QuantiseKeys(k, scratch, bytes);
    cache.KeepScales(scratch, 0, masks, scales.keys);
    cache.QuantiseValues(v, scratch, integers);
    cache.KeepScales(scratch, 0, masks, scales.values);
    const Pair key_bytes{bytes.side, bytes.column, bytes.plane, bytes.address};
    kernels().AppendKey(key_bytes, shape.key_slots(), key_maps, keys);
    kernels().AppendValue(integers, shape.value_groups(), tables(), values);
  }
  int SlotEnd() const { return first_slot + heads * shape.key_slots(); }
  void StoreConstants() {
    for (int d = 0; d < shape.group_elements(0); ++d) {
      std::vector<uint16_t> one(kLanes, 0);
      one[d] = FloatToHalf(1.0f);
      chip.Store(identity + d, one);
    }
    std::vector<float> low(kLanes, 0.0f);
    std::fill_n(low.begin(), kHalfLanes, std::bit_cast<float>(0xffffffffu));
    chip.Store(low_half, low);
    std::vector<float> lanes(size_t{1} * shape.key_tiles() * kLanes);
    std::iota(lanes.begin(), lanes.end(), 0.0f);
    chip.Store(iota, lanes);
    if (shape.int8()) return;
    const std::vector<uint8_t> one(kHalfLanes, 0x3c), zero(kHalfLanes, 0);
    for (int pair = 0; pair < 16; ++pair) {
      for (int r = values; r < values + shape.value_rows(); ++r) {
        chip.memory.Store(WeightSlice(Hemisphere::kEast, 2 * pair), r, kHalfLanes, zero);
        chip.memory.Store(WeightSlice(Hemisphere::kEast, 2 * pair + 1), r, kHalfLanes, one);
      }
    }
  }
  // Of the place-th pair of slices, or slice.
  std::vector<float> WeightLanes(int pair, int address, int first, int count) {
    std::array<uint8_t, kVectorBytes> low, high;
    if (shape.int8()) {
      chip.memory.Load(WeightSlice(Hemisphere::kEast, pair), address, low);
      const auto* integers_at = reinterpret_cast<const int8_t*>(low.data()) + first;
      return std::vector<float>(integers_at, integers_at + count);
    }
    chip.memory.Load(WeightSlice(Hemisphere::kEast, 2 * pair), address, low);
    chip.memory.Load(WeightSlice(Hemisphere::kEast, 2 * pair + 1), address, high);
    std::vector<float> out;
    for (int i = first; i < first + count; ++i) {
      out.push_back(HalfToFloat(static_cast<uint16_t>(low[i] | high[i] << 8)));
    }
    return out;
  }
};

}  // namespace lockstep
