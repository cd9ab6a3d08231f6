// Grouped sends and receives (fabric/nccl/programs.h).
//
//   pair (a, b): message | part 0 | part 1 | ...       a part is one channel's: sender --> receiver
//   part:                | chunk | chunk | ...         8 slots
#include <algorithm>

#include "fabric/nccl/programs.h"

namespace lockstep::nccl {
namespace {

constexpr int64_t kNvlinkChunk = 512 << 10, kPciChunk = 128 << 10;
constexpr int64_t kLeastPart = 64 << 10, kLargestPart = 16 << 20;

// Of a message: more only when parts grow beyond 16 MiB (src/enqueue.cc, calcP2pChannelCount).
int Parts(const Job& job, int64_t bytes) {
  const int all = job.choice.channels;
  int parts = all;
  while (parts * job.call.ranks > all && parts > 1) parts /= 2;
  int64_t size = std::max(kLeastPart, bytes / parts);
  while (size > kLargestPart && parts <= all / 2) parts *= 2, size = bytes / parts;
  return parts;
}

void AddMessage(const Job& job, const Cutter& cutter, int from, int to, int64_t bytes, Flow& flow) {
  const bool pci = job.machine.interconnect == Interconnect::kPci;
  Cut cut;
  cut.bytes = bytes;
  cut.channels = Parts(job, bytes);
  cut.cell = std::max<int64_t>(kLeastPart, (bytes / cut.channels + 15) / 16 * 16);
  cut.chunk = job.choice.protocol == Protocol::kLl ? LargestChunk(Protocol::kLl, 1)
              : pci                                ? kPciChunk
                                                   : kNvlinkChunk;
  cut.grain = 16;
  for (const std::vector<Loop>& loops : CutBytes(cut)) {
    if (loops.empty()) continue;
    if (from == to) {  // one copy, no connection
      const int block = flow.AddBlock(from);
      for (const Loop& loop : loops) {
        for (const Unit& unit : cutter.Units(loop[0], std::nullopt)) flow.Add(block, unit);
      }
      continue;
    }
    const int connection = flow.AddSet({flow.AddConnection(cutter.Slots(loops[0][0]))});
    const int sender = flow.AddBlock(from), receiver = flow.AddBlock(to);
    for (const Loop& loop : loops) {
      for (Unit& unit : cutter.Units(loop[0], to)) {
        unit.outputs = connection;
        flow.Add(sender, unit);
      }
      for (Unit& unit : cutter.Units(loop[0], std::nullopt)) {
        unit.inputs = connection;
        flow.Add(receiver, unit);
      }
    }
  }
}

}  // namespace

void AddPointToPoint(const Job& job, Flow& flow) {
  const int n = job.call.ranks;
  const Cutter cutter(job.machine, job.mechanisms, job.choice.protocol, job.choice.threads, 1, 1);
  for (int from = 0; from < n; ++from) {
    if (job.call.operation == Operation::kSendRecv) {
      AddMessage(job, cutter, from, (from + 1) % n, job.call.bytes, flow);
      continue;
    }
    for (int distance = 0; distance < n; ++distance) {
      AddMessage(job, cutter, from, (from + distance) % n, job.call.bytes / n, flow);
    }
  }
}

}  // namespace lockstep::nccl
