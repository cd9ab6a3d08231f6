#pragma once
// What the programs of a token and of a batch decide by the same rules, so that both give the same bits.

#include "absl/status/status.h"
#include "chip/latency.h"
#include "chip/program.h"
#include "runtime/compiler/layout.h"
#include "runtime/kernels/collective.h"

namespace lockstep {

// What kernels need of the table of latencies: a value that waits in the VXM is passed on by `or`,
// so it waits in steps of that; sums and maxima start with an `or` in place of their operation.
absl::Status CheckLatencies(const ChipTiming& timing);
// Whether products begin with the words of a layer's norm that are there (runtime/kernels/norm.h): not
// where a hidden vector has few, nor in int8, whose scale wants all of them. The same for a batch.
bool NormsAreStreamed(const Plan& plan);
// Whether the sums of W x travel between the chips as fp16: links would be busy for more than a hop
// longer than the product. The same for one position and for a batch, so that both give the same
// bits.
bool SumsTravelAsHalf(const Plan& plan, const SplitMatrix& w, const Group& group,
                      const ChipTiming& timing);
// What the LWs of a program take.
int64_t StreamedBytes(const Program& program);

}  // namespace lockstep
