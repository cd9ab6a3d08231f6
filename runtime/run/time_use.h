#pragma once
// Where the cycles of a step go, from the kernels' spans: each cycle counts once, for the first of
// the kinds below that any kernel under way in it belongs to. What other kinds do meanwhile is
// hidden.

#include <array>
#include <cstdint>
#include <vector>

#include "runtime/kernels/block.h"

namespace lockstep {

enum class WorkKind : uint8_t { kWeights, kAttention, kVectors, kLinks, kIdle };
inline constexpr int kWorkKinds = 5;
const char* WorkKindName(WorkKind kind);  // `weights`

// Of a kernel by its name: products with weights; scores, softmax and the KV cache; transfers; all
// else works on vectors.
WorkKind KindOf(const char* kernel);

// Kernels that ran at `start` + their spans.
struct TimedSpans {
  int64_t start;
  const std::vector<Placer::Span>* spans;
};

using TimeUse = std::array<int64_t, kWorkKinds>;  // cycles, by kind
// Of cycles 0..cycles-1.
TimeUse MeasureTime(const std::vector<TimedSpans>& kernels, int64_t cycles);

}  // namespace lockstep
