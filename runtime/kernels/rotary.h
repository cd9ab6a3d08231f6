#pragma once
// Rotary embedding of the queries and keys of one position, as attention wants them: heads of one
// slot turn inside a lane half, the slots of a wide head in pairs (CacheShape,
// runtime/kernels/attention.h).

#include "runtime/kernels/attention.h"
#include "runtime/kernels/kernels.h"

namespace lockstep {

// q: `words` vectors of whole heads, two slots a vector; scaled by 1 / sqrt(head_dim). tables:
// those of the position, CacheShape::rotary_tables() of each.
void RotateQueries(Kernels& kernels, const CacheShape& cache, Quad from, int words,
                   const Kernels::RotaryTables& tables, Pair q);
// k: `words` vectors of whole heads, one slot in both halves of each.
void RotateKeys(Kernels& kernels, const CacheShape& cache, Quad from, int words,
                const Kernels::RotaryTables& tables, Pair k);

}  // namespace lockstep
