// Reductions and multicast in the switch (fabric/nccl/programs.h).
//
//   GPU r    scatter --own buffer, one part a head--> head h    add from all, store to all --> gather
//            n parts                                  1 part    (switch)                       n parts
//
// Three blocks a GPU and channel, which share its threads by what they have to do; each handles the
// chunk of the loop before while the next one comes.
#include <algorithm>

#include "fabric/nccl/programs.h"

namespace lockstep::nccl {
namespace {

constexpr int64_t kLargest = 128 << 10;

// Smaller chunks for smaller messages (src/enqueue.cc).
int64_t ChunkOf(const Job& job) {
  const int64_t at_once = int64_t{job.choice.channels} * job.call.ranks;
  int64_t chunk = kLargest;
  if (job.call.bytes < 64 * at_once * chunk) chunk = 64 << 10;
  if (job.call.bytes < 8 * at_once * chunk && chunk > (32 << 10)) chunk = 32 << 10;
  if (job.call.bytes < 2 * at_once * chunk && chunk > (16 << 10)) chunk = 16 << 10;
  return chunk;
}

// Connections of one channel.
struct Buffers {
  std::vector<std::vector<int>> parts;  // [head][GPU]: scattered, waiting to be added
  std::vector<std::vector<int>> sums;   // [GPU][head]: stored to all, waiting to be gathered
};

Buffers Connect(int n, int slots, Flow& flow) {
  Buffers b{std::vector<std::vector<int>>(n), std::vector<std::vector<int>>(n)};
  for (int head = 0; head < n; ++head) {
    for (int gpu = 0; gpu < n; ++gpu) b.parts[head].push_back(flow.AddConnection(slots));
    for (int gpu = 0; gpu < n; ++gpu) b.sums[gpu].push_back(flow.AddConnection(slots));
  }
  return b;
}

}  // namespace

void AddNvls(const Job& job, Flow& flow) {
  const int n = job.call.ranks;
  const Operation op = job.call.operation;
  const bool scatters = op != Operation::kAllGather, gathers = op != Operation::kReduceScatter;
  const Cutter cutter(job.machine, job.mechanisms, Protocol::kSimple, job.choice.threads, 1, 1);
  Cut cut;
  cut.bytes = job.call.bytes, cut.channels = job.choice.channels, cut.pieces = n;
  cut.chunk = ChunkOf(job), cut.grain = 16;
  const auto add = [&](int block, int64_t bytes, int in, int out, std::optional<int> to) {
    Unit unit = cutter.Units(bytes, to)[0];
    if (to) unit.fixed_ps = cutter.Cycles(job.machine.costs.nvls_cycles);
    if (!to) unit.copy_ps *= kLocalSpeed;  // by a third of the threads
    unit.inputs = in, unit.outputs = out;
    flow.Add(block, unit);
  };
  for (const std::vector<Loop>& loops : CutBytes(cut)) {
    const Buffers b = Connect(n, kSteps, flow);
    for (int r = 0; r < n; ++r) {
      std::vector<int> to_heads, to_gpus;
      for (int i = 0; i < n; ++i) {
        to_heads.push_back(b.parts[i][r]);
        to_gpus.push_back(b.sums[i][r]);
      }
      const int scattered = scatters ? flow.AddSet(to_heads) : 0;
      const int parts = scatters ? flow.AddSet(b.parts[r]) : 0;
      const int stored = gathers ? flow.AddSet(to_gpus) : 0;
      const int sums = gathers ? flow.AddSet(b.sums[r]) : 0;
      const int scatter = flow.AddBlock(r), head = flow.AddBlock(r), gather = flow.AddBlock(r);
      for (const Loop& loop : loops) {
        int64_t all = 0;
        for (int64_t bytes : loop) all += bytes;
        if (scatters) add(scatter, all, 0, scattered, std::nullopt);
        add(head, loop[r], parts, stored, kAll);
        if (gathers) add(gather, all, sums, 0, std::nullopt);
      }
    }
  }
}

}  // namespace lockstep::nccl
