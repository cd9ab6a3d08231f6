// The inputs of a step in SRAM (runtime/compiler/image.h).
#include <algorithm>
#include <array>

#include "chip/check.h"
#include "runtime/compiler/image.h"
#include "runtime/files/portable_math.h"

namespace lockstep {
namespace {

constexpr uint16_t kNoRow = 0xffff;

// One map address for every superlane, or 0xffff outside [first, last).
std::array<uint8_t, kVectorBytes> MapVector(int value, int first = 0, int last = kSuperlanes) {
  std::array<uint8_t, kVectorBytes> bytes{};
  for (int s = 0; s < kSuperlanes; ++s) {
    const uint16_t v = s >= first && s < last ? static_cast<uint16_t>(value) : kNoRow;
    bytes[s * kLanesPerSuperlane] = static_cast<uint8_t>(v);
    bytes[s * kLanesPerSuperlane + 1] = static_cast<uint8_t>(v >> 8);
  }
  return bytes;
}

void StoreSingle(HostMemory& memory, Single at, std::span<const uint8_t> bytes) {
  memory.Store(ColumnSlice(at.side, at.column, at.plane), at.address, 0, bytes);
}

// What a position turns by, with the signs of Kernels::Rotary, the same in both lane halves. What a
// head that fits into a slot does not turn with is zero.
void WriteRotary(const Plan& plan, const ModelMap& map, int index, int position,
                 HostMemory& memory) {
  const std::vector<double> frequency = InverseFrequencies(plan.model);
  const int half = plan.model.head_dim / 2, tables = plan.cache().rotary_tables();
  const bool wide = plan.cache().key_slots() > 1;
  for (int t = 0; t < tables; ++t) {
    const int first = t * kHalfLanes, at = index * tables + t;
    std::array<float, kLanes> cos{}, low{}, high{};
    const int lanes = wide ? std::min(kHalfLanes, half - first) : plan.model.head_dim;
    for (int i = 0; i < lanes; ++i) {
      const SinCos turn = SinAndCos(position * frequency[(first + i) % half]);
      const float c = static_cast<float>(turn.cos), s = static_cast<float>(turn.sin);
      for (int lane : {i, i + kHalfLanes}) {
        cos[lane] = c;
        if (wide || i < half) low[lane] = -s;
        if (wide || i >= half) high[lane] = s;
      }
    }
    StoreQuad(memory, map.cos + at, cos);
    StoreQuad(memory, map.sin_low + at, low);
    StoreQuad(memory, map.sin_high + at, high);
  }
}

}  // namespace

void WriteStep(const Plan& plan, const StageShape& stage, int chip, const ModelMap& map,
               std::span<const int> tokens, int position, HostMemory& memory) {
  const int count = static_cast<int>(tokens.size());
  LOCKSTEP_CHECK(count == 1 || count == plan.batch, "%d positions", count);
  LOCKSTEP_CHECK(position >= 0 && position % count == 0 && position <= plan.context - count,
                 "position %d", position);
  const Range vocab = plan.ShardOf(stage.embedding, chip);
  std::array<float, kLanes> lanes;
  for (int i = 0; i < count; ++i) {
    const bool mine = tokens[i] >= vocab.begin && tokens[i] < vocab.end;
    StoreSingle(memory, map.token_map + i, MapVector(mine ? tokens[i] - vocab.begin : kNoRow));
    lanes.fill(static_cast<float>(position + i));
    StoreQuad(memory, map.position + i, lanes);
    if (stage.layers.size() > 0) WriteRotary(plan, map, i, position + i, memory);
  }

  WriteCachePlaces(
      plan.cache(), position, count,
      {map.key_maps, map.transpose_maps, map.value_map_read, map.value_map_write, map.one_hot},
      memory);
}

void WriteCachePlaces(const CacheShape& shape, int position, int count, const CachePlaces& places,
                      HostMemory& memory) {
  const int row = position % kTileRows, half = row / kHalfLanes, r = row % kHalfLanes;
  const int first = shape.key_tile_row(position / kTileRows), middle = kSuperlanes / 2;
  // Maps of a tile whose row r lies at place r % places: those of `count` rows from r on say
  // `value`.
  const auto write = [&](Single maps, int places, int value, int in_half) {
    for (int place = 0; place < places; ++place) {
      const bool here = place >= r % places && place < r % places + count;
      StoreSingle(memory, maps + place,
                  MapVector(here ? value : kNoRow, in_half * middle, (in_half + 1) * middle));
    }
  };
  write(places.key_maps, shape.rows_a_word(), first + r / shape.rows_a_word(), half);
  write(places.transpose_maps, kWeightSlices / 2, r / 16, half % shape.block_halves());
  const int block = shape.block_positions(), value_row = position / block * shape.block_rows();
  StoreSingle(memory, places.value_map_read, MapVector(value_row));
  StoreSingle(memory, places.value_map_write, MapVector(value_row));
  std::array<uint16_t, kLanes> hot{};
  std::fill_n(hot.begin() + position % block, count, 0xffff);
  StorePair(memory, places.one_hot, hot);
}

int64_t StepInputBytes(const Plan& plan, int positions) {
  const int64_t rotary = 3 * plan.cache().rotary_tables();
  const int maps = plan.cache().rows_a_word() + kWeightSlices / 2;
  return (positions * (1 + 4 * (1 + rotary)) + maps + 2 + 2) * kVectorBytes;
}

}  // namespace lockstep
