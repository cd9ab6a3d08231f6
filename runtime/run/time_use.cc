// A sweep over the ends of spans (runtime/run/time_use.h).
#include "runtime/run/time_use.h"

#include <algorithm>
#include <string_view>

namespace lockstep {
namespace {

constexpr std::string_view kProducts[] = {"q", "k", "v", "o", "gate", "up", "down", "head"};
constexpr std::string_view kAttentionKernels[] = {
    "append key", "append value", "stage value", "scores",       "lane max",
    "mask bias",  "softmax mask", "softmax exp", "weigh values", "normalise"};
constexpr std::string_view kTransfers[] = {"all-gather", "reduce-scatter", "send hidden",
                                           "receive hidden"};

template <size_t n>
bool Among(const std::string_view (&names)[n], std::string_view name) {
  return std::find(names, names + n, name) != names + n;
}

struct End {
  int64_t cycle;
  int kind;
  int change;  // +1: a kernel begins, -1: it is over
};

}  // namespace

const char* WorkKindName(WorkKind kind) {
  constexpr const char* kNames[] = {"weights", "attention", "vectors", "links", "idle"};
  return kNames[static_cast<int>(kind)];
}

WorkKind KindOf(const char* kernel) {
  if (Among(kProducts, kernel)) return WorkKind::kWeights;
  if (Among(kAttentionKernels, kernel)) return WorkKind::kAttention;
  return Among(kTransfers, kernel) ? WorkKind::kLinks : WorkKind::kVectors;
}

TimeUse MeasureTime(const std::vector<TimedSpans>& kernels, int64_t cycles) {
  std::vector<End> ends;
  for (const TimedSpans& k : kernels) {
    for (const Placer::Span& span : *k.spans) {
      const int kind = static_cast<int>(KindOf(span.name));
      ends.push_back({std::clamp<int64_t>(k.start + span.first, 0, cycles), kind, 1});
      ends.push_back({std::clamp<int64_t>(k.start + span.last + 1, 0, cycles), kind, -1});
    }
  }
  std::sort(ends.begin(), ends.end(), [](const End& a, const End& b) { return a.cycle < b.cycle; });
  TimeUse use{};
  std::array<int, kWorkKinds> under_way{};
  under_way[static_cast<int>(WorkKind::kIdle)] = 1;
  int64_t now = 0;
  const auto advance = [&](int64_t to) {
    int kind = 0;
    while (under_way[kind] == 0) ++kind;
    use[kind] += to - now;
    now = to;
  };
  for (const End& end : ends) {
    advance(end.cycle);
    under_way[end.kind] += end.change;
  }
  advance(cycles);
  return use;
}

}  // namespace lockstep
