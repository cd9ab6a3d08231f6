#pragma once
// What an int8 KV cache takes in the activation columns (runtime/kernels/int8_cache.h): where keys
// and values of a step are quantised, and what attention keeps of the two halves of its blocks.

#include "runtime/compiler/memory_map.h"
#include "runtime/compiler/plan.h"
#include "runtime/kernels/int8_cache.h"

namespace lockstep {

// Of all KV heads of all positions of a batch. Columns as in layout.h:
//   W0 maxima      W1 masks, inverses      E2 scales, integers      W2 sums      E1 upper halves
struct Int8CacheMap {
  Int8Cache::Masks masks{};
  Int8Cache::Scratch keys{}, values{};
  Single key_bytes{};
  Pair value_integers{};
  Quad upper{}, sums{};  // upper: as ScratchMap::weighed; sums: a vector a query of a KV head
};
// Nothing where the plan's cache is fp16.
Int8CacheMap MapInt8Cache(const Plan& plan, MemoryMap& memory);

// Scales of one KV head's cache in one layer.
CacheScales MapScales(const Plan& plan, MemoryMap& memory);

}  // namespace lockstep
