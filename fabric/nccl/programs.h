#pragma once
// What the thread blocks of all GPUs do in a call, as units of a Flow: the steps of each algorithm.
// Origin: src/device/all_reduce.h, all_gather.h, reduce_scatter.h, broadcast.h, sendrecv.h.

#include "fabric/nccl/call.h"
#include "fabric/nccl/chunks.h"
#include "fabric/nccl/flow.h"
#include "fabric/nccl/machine.h"
#include "fabric/nccl/tuning.h"

namespace lockstep::nccl {

struct Job {
  const Machine& machine;
  Version version;
  Mechanisms mechanisms;
  Call call;
  Choice choice;
};

// One ring, the same in all channels: GPU r sends to r + 1. All-reduce, all-gather, reduce-scatter,
// broadcast from GPU 0.
void AddRing(const Job& job, Flow& flow);

// All-reduce along a chain: up to GPU 0, down again, in two blocks a GPU and channel that share its
// threads. Inside a node NCCL's trees are chains.
void AddTree(const Job& job, Flow& flow);

// Through the switch: GPUs scatter into buffers, head h adds its share of all GPUs and stores it to
// all, GPUs gather. All-reduce, all-gather (no adding), reduce-scatter (no storing to all).
void AddNvls(const Job& job, Flow& flow);

// All-to-all, or each GPU to the next one: a block for each direction of each part of each pair.
void AddPointToPoint(const Job& job, Flow& flow);

}  // namespace lockstep::nccl
