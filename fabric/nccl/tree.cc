// Chains (fabric/nccl/programs.h).
//
//   up      n-1 --> ... --> 1 --> 0      recv+reduce+send
//   down    n-1 <-- ... <-- 1 <-- 0      recv+send; GPU 0 turns in one step
#include <algorithm>

#include "fabric/nccl/programs.h"

namespace lockstep::nccl {
namespace {

// Chunks shrink until each GPU of the chain has several (src/enqueue.cc).
int64_t ChunkOf(const Job& job) {
  const int64_t bytes = job.call.bytes, nc = job.choice.channels, depth = job.call.ranks;
  if (job.choice.protocol == Protocol::kLl) return LargestChunk(Protocol::kLl, 1);
  int64_t chunk = LargestChunk(job.choice.protocol, 1);
  const auto shrink = [&](int64_t least, int64_t factor) {
    while (bytes / (nc * chunk) < depth * factor && chunk > least) chunk /= 2;
  };
  if (job.choice.protocol == Protocol::kSimple) {
    shrink(128 << 10, 8), shrink(64 << 10, 4), shrink(32 << 10, 1);
  } else {
    shrink(32 << 10, 4);
  }
  return chunk;
}

}  // namespace

void AddTree(const Job& job, Flow& flow) {
  const int n = job.call.ranks;
  const Cutter cutter(job.machine, job.mechanisms, job.choice.protocol,
                      std::max(32, job.choice.threads / 2), 1, 1);
  Cut cut;
  cut.bytes = job.call.bytes, cut.channels = job.choice.channels;
  cut.chunk = ChunkOf(job), cut.grain = cutter.Grain();
  for (const std::vector<Loop>& loops : CutBytes(cut)) {
    int64_t largest = 0;
    for (const Loop& loop : loops) largest = std::max(largest, loop[0]);
    if (largest == 0) continue;
    std::vector<int> up(n), down(n);  // connections between GPU r and r - 1
    for (int r = 1; r < n; ++r) {
      up[r] = flow.AddSet({flow.AddConnection(cutter.Slots(largest))});
      down[r] = flow.AddSet({flow.AddConnection(cutter.Slots(largest))});
    }
    for (int r = 0; r < n; ++r) {
      const int rising = flow.AddBlock(r), falling = r == 0 ? rising : flow.AddBlock(r);
      for (const Loop& loop : loops) {
        for (Unit& unit : cutter.Units(loop[0], r == 0 ? 1 : r - 1)) {
          unit.inputs = r + 1 < n ? up[r + 1] : 0;
          unit.outputs = r == 0 ? down[1] : up[r];
          flow.Add(rising, unit);
        }
        if (r == 0) continue;
        for (Unit& unit : cutter.Units(loop[0], r + 1 < n ? std::optional(r + 1) : std::nullopt)) {
          unit.inputs = down[r], unit.outputs = r + 1 < n ? down[r + 1] : 0;
          flow.Add(falling, unit);
        }
      }
    }
  }
}

}  // namespace lockstep::nccl
