// Places of an int8 cache's vectors (runtime/compiler/cache_layout.h).
#include "runtime/compiler/cache_layout.h"

namespace lockstep {
namespace {
constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;
}  // namespace

Int8CacheMap MapInt8Cache(const Plan& plan, MemoryMap& memory) {
  const CacheShape cache = plan.cache();
  Int8CacheMap map;
  if (!cache.int8()) return map;
  const int heads = plan.kv_slots * plan.batch;
  map.masks.elsewhere = memory.Words(kWest, 1, cache.key_tiles());
  if (plan.batch > 1) map.masks.lanes = memory.Words(kWest, 1, plan.batch);
  for (Int8Cache::Scratch* s : {&map.keys, &map.values}) {
    s->maxima = memory.Words(kWest, 0, 2 * heads);
    s->inverse = memory.Words(kWest, 1, heads);
    s->scale = memory.Words(kEast, 2, heads);
  }
  map.key_bytes = memory.SingleWords(kEast, 2, 0, heads * cache.key_slots());
  map.value_integers = memory.PairWords(kEast, 2, 2, heads * cache.value_groups());
  map.upper = memory.Words(kEast, 1, plan.outputs() * plan.batch);
  map.sums = memory.Words(kWest, 2, plan.queries_per_slot * plan.batch);
  return map;
}

CacheScales MapScales(const Plan& plan, MemoryMap& memory) {
  const int tiles = plan.cache().key_tiles();
  return {memory.Words(kWest, 2, tiles), memory.Words(kEast, 0, tiles)};
}

}  // namespace lockstep
