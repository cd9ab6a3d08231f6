#pragma once
// Encoders over a chain of chips, `layers` on each: a chip takes all positions through its layers, then
// hands x, fp32 as it is, to the next chip over one link.
//
//   chip 0   | layers          | send |
//   chip 1                     | recv | layers          | send |
//   chip 2                                              | recv | ...
//
// The next inference follows when the chips are free again: transfers do not overlap with layers.

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/launch.h"
#include "fabric/link_model.h"
#include "fabric/topology.h"
#include "runtime/validation/encoder.h"

namespace lockstep {

// Chips 0 .. count - 1 so ordered that each has a link to the next: node after node, in each the chip
// with the cable to the next node last. Error: the topology has too few, or no such cable.
absl::StatusOr<std::vector<ChipId>> ChainOfChips(const Topology& topology, int count);

// The layers of a chip, the same for all of a pipeline. Errors: what does not fit.
struct EncoderChip {
  EncoderShape shape;
  EncoderMap map;
  std::shared_ptr<const Schedule> layers;
};
absl::StatusOr<EncoderChip> CompileEncoderChip(const EncoderShape& shape, int layers,
                                               const ChipTiming& timing);

struct EncoderPipeline {
  std::vector<Launches> launches;     // by chip number
  int64_t layer_cycles = 0;           // of all layers of a chip
  int64_t transfer_cycles = 0;        // from chip to chip; 0 with one chip
  int64_t latency = 0;                // of an inference, until the last chip's x stands
  int64_t interval = 0;               // between inferences
};

// `inferences` one after the other.
absl::StatusOr<EncoderPipeline> PipelineOf(const EncoderChip& chip, int inferences,
                                           const Topology& topology,
                                           const std::vector<ChipId>& chain, const LinkModel& links,
                                           const ChipTiming& timing);

}  // namespace lockstep
