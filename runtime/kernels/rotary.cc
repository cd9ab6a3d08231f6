// Which kernel turns which vectors (runtime/kernels/rotary.h).
#include "runtime/kernels/rotary.h"

#include <cmath>

namespace lockstep {

void RotateQueries(Kernels& kernels, const CacheShape& cache, Quad from, int words,
                   const Kernels::RotaryTables& tables, Pair q) {
  // Vectors of a wide head take the tables in turn.
  const int count = cache.rotary_tables();
  const float scale = 1.0f / std::sqrt(static_cast<float>(cache.head_dim));
  for (int t = 0; t < count; ++t) {
    kernels.Rotary(from + t, tables + t, words / count, cache.rotary_distance(), scale, q + t,
                   count);
  }
}

void RotateKeys(Kernels& kernels, const CacheShape& cache, Quad from, int words,
                const Kernels::RotaryTables& tables, Pair k) {
  const int slots = cache.key_slots();
  if (slots == 1) return kernels.Rotary(from, tables, words, cache.rotary_distance(), 1.0f, k);
  for (int t = 0; t < cache.rotary_tables(); ++t) {
    kernels.RotaryAcross(from + 2 * t, tables + t, words / slots, k + 2 * t, slots);
  }
}

}  // namespace lockstep
