#pragma once
// What the programs of a token and of a batch are emitted with, and decide, alike, so that both give the
// same bits.

#include <optional>

#include "absl/status/status.h"
#include "chip/latency.h"
#include "runtime/compiler/compiler.h"
#include "runtime/compiler/layout.h"
#include "runtime/compiler/plan.h"
#include "runtime/compiler/stage.h"
#include "runtime/kernels/attention.h"
#include "runtime/kernels/collective.h"
#include "runtime/kernels/int8_cache.h"
#include "runtime/kernels/kernels.h"
#include "runtime/kernels/norm.h"

namespace lockstep {

// What kernels need of the table of latencies: a value that waits in the VXM is passed on by `or`,
// so it waits in steps of that; sums and maxima start with an `or` in place of their operation.
absl::Status CheckLatencies(const ChipTiming& timing);

// Of steps of `batch` consecutive positions of one sequence; plan and group outlive it. Areas hold
// vectors position by position.
class StepEmitter {
 protected:
  StepEmitter(const Plan& plan, const StageShape& stage, Layout layout, const Group& group,
              const ChipTiming& timing, int batch, int sequence);

  // Which keys a position sees.
  void Masks();
  // Looks the tokens up, into the residual.
  void Embedding();
  // The next norm is that of the residual whose words are now to come.
  void BeginNorm(Quad gain, bool streamed);
  // Whether the sums of W x travel between the chips as fp16: links would be busy for more than a hop
  // longer than the product.
  bool SumsTravelAsHalf(const SplitMatrix& w) const;
  // Adds vector `index` of the residual the sum of `from` over the chips.
  void AddOverChips(Quad from, int index, bool half);
  // Keys and values of a layer into its cache, then the queries' attention, into heads_out.
  void Attend(const LayerMap& layer);
  // Layout, program, and what is counted of it.
  void Finish(CompiledChip& out);

  const Plan& plan_;
  const StageShape stage_;
  const int batch_;
  const int words_;  // of a hidden vector
  const CacheShape cache_;
  const Layout layout_;
  const ModelMap map_;  // as the sequence sees it
  const ScratchMap& at_;
  const ChipTiming timing_;
  const Group& group_;
  Placer placer_;
  Kernels kernels_;
  Collectives collectives_;
  Attention attention_;
  Int8Cache int8_cache_;
  // Whether products begin with the words of a layer's norm that are there (runtime/kernels/norm.h): not
  // where a hidden vector has few, nor in int8, whose scale wants all of them.
  const bool streamed_;
  std::optional<Norm> norm_;  // of the residual, as it is or will be

 private:
  Pair HalfLanding() const;
  Attention::ValueTables ValueTables() const;
  void AttendInt8(const LayerMap& layer);
};

}  // namespace lockstep
