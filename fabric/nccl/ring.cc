// Rings (fabric/nccl/programs.h).
//
//   all-reduce step of GPU r    0        1 .. n-2            n-1                  n .. 2n-3      2n-2
//                               send     recv+reduce+send    recv+reduce+send     recv+send      recv
//   chunk                       r-1      r-2 ..              r (complete)         r-1 ..         r+1
//
// Reduce-scatter is its first n steps, all-gather its last n, broadcast a chain of the whole.
#include <algorithm>

#include "fabric/nccl/programs.h"

namespace lockstep::nccl {
namespace {

// Bytes of traffic that are dealt to a channel at once since 2.22.
constexpr int64_t kCellTraffic = 32 << 10;

Cut CutOf(const Job& job, const Cutter& cutter, int64_t chunk) {
  const bool reduces = job.call.operation == Operation::kAllReduce;
  const bool whole = reduces || job.call.operation == Operation::kBroadcast;
  Cut cut;
  cut.bytes = whole ? job.call.bytes : job.call.bytes / job.call.ranks;
  cut.channels = job.choice.channels;
  cut.pieces = reduces ? job.call.ranks : 1;
  cut.chunk = chunk;
  cut.grain = cutter.Grain();
  if (job.version.AtLeast(22)) {
    cut.grain = 16;
    cut.cell = kCellTraffic / (reduces ? 2 : whole ? 1 : job.call.ranks);
    if (job.choice.protocol == Protocol::kLl) cut.cell /= 4;
    cut.cell = std::max<int64_t>(cut.cell, cut.grain);
  }
  return cut;
}

// The two ends that a block has, and what it does with them.
struct Ends {
  int block, in, out;  // sets
};

class Ring {
 public:
  Ring(const Job& job, const Cutter& cutter, Flow& flow, int slots) : cutter_(cutter), flow_(flow) {
    const int n = job.call.ranks;
    std::vector<int> from(n);
    for (int r = 0; r < n; ++r) from[r] = flow.AddConnection(slots);
    for (int r = 0; r < n; ++r) {
      ends_.push_back({flow.AddBlock(r), flow.AddSet({from[(r + n - 1) % n]}),
                       flow.AddSet({from[r]})});
    }
  }

  void Step(int rank, int64_t bytes, bool receives, bool sends) {
    const Ends& e = ends_[rank];
    const int next = (rank + 1) % static_cast<int>(ends_.size());
    const bool meets = cutter_.Synchronises(bytes);
    for (Unit& unit : cutter_.Units(bytes, sends ? std::optional(next) : std::nullopt)) {
      unit.inputs = receives && meets ? e.in : 0;
      unit.outputs = sends && meets ? e.out : 0;
      flow_.Add(e.block, unit);
    }
  }

 private:
  const Cutter& cutter_;
  Flow& flow_;
  std::vector<Ends> ends_;
};

void AddLoop(Operation operation, int n, const Loop& loop, Ring& ring) {
  for (int r = 0; r < n; ++r) {
    if (operation == Operation::kBroadcast) {
      ring.Step(r, loop[0], r != 0, r != n - 1);
      continue;
    }
    const int steps = operation == Operation::kAllReduce ? 2 * n - 1 : n;
    for (int s = 0; s < steps; ++s) {
      // The chunk that GPU r - 1 handled one step before.
      const int chunk = static_cast<int>(loop.size()) == 1 ? 0 : (r - 1 - s + 3 * n) % n;
      ring.Step(r, loop[chunk], s > 0, s < steps - 1);
    }
  }
}

}  // namespace

void AddRing(const Job& job, Flow& flow) {
  const bool chain = job.call.operation == Operation::kBroadcast;
  const Cutter cutter(job.machine, job.mechanisms, job.choice.protocol, job.choice.threads,
                      chain ? 1 : 2, chain ? 1 : 2);
  const int64_t chunk = LargestChunk(job.choice.protocol, chain ? 1 : 4);
  for (const std::vector<Loop>& loops : CutBytes(CutOf(job, cutter, chunk))) {
    int64_t largest = 0;
    for (const Loop& loop : loops) {
      largest = std::max(largest, *std::max_element(loop.begin(), loop.end()));
    }
    if (largest == 0) continue;
    Ring ring(job, cutter, flow, cutter.Slots(largest));
    for (const Loop& loop : loops) AddLoop(job.call.operation, job.call.ranks, loop, ring);
  }
}

}  // namespace lockstep::nccl
