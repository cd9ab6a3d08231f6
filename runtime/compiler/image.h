#pragma once
// What the host writes into a chip's SRAM and reads out of it: weights and constants once, the
// inputs of a step before each run of the program, the logits after it.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "runtime/compiler/compiler.h"
#include "runtime/compiler/plan.h"
#include "runtime/model/checkpoint.h"

namespace lockstep {

// SRAM of one chip as the host's DMA sees it.
class HostMemory {
 public:
  virtual ~HostMemory() = default;
  // Bytes for lanes lane, lane + 1, ... of a word; the other lanes keep theirs.
  virtual void Store(int slice, int address, int lane, std::span<const uint8_t> bytes) = 0;
  // All 320 lanes of a word.
  virtual void Load(int slice, int address, std::span<uint8_t, kVectorBytes> out) const = 0;
};

// Writes what chip `chip` of the stage's node holds of the checkpoint, and all constants. Errors
// are the checkpoint's.
absl::Status WriteModel(const Plan& plan, const StageShape& stage, int chip, const ModelMap& map,
                        const Checkpoint& weights, HostMemory& memory);

// Writes the inputs of a step: tokens.size() consecutive positions from `position` on, a multiple
// of that size, which is 1 or the plan's batch. Cosines and sines of the rotary embedding are among
// them: a table of all positions would take 3.8 KB of SRAM a position. REQUIRES: 0 <= token <
// vocabulary, 0 <= position <= plan.context - tokens.size().
void WriteStep(const Plan& plan, const StageShape& stage, int chip, const ModelMap& map,
               std::span<const int> tokens, int position, HostMemory& memory);

// Where a batch's keys and values go (runtime/kernels/attention.h: maps, one-hot vector).
struct CachePlaces {
  Single key_maps, transpose_maps, value_map_read, value_map_write;
  Pair one_hot;
};
// For `count` consecutive positions from `position` on, a multiple of it.
void WriteCachePlaces(const CacheShape& shape, int position, int count, const CachePlaces& places,
                      HostMemory& memory);

// Bytes the host sends to each chip for a step of `positions` positions, and takes for each one
// whose logits it wants.
int64_t StepInputBytes(const Plan& plan, int positions);
int64_t StepOutputBytes(const Plan& plan, const StageShape& stage);

// The chip's logits of one position: ShardOf(stage.head, chip).size() values.
std::vector<float> ReadLogits(const Plan& plan, const StageShape& stage, int chip,
                              std::span<const Segment32> logits, const HostMemory& memory);

// fp32 vectors, as tests and the two functions above need them.
void StoreQuad(HostMemory& memory, Quad at, std::span<const float> lanes);
void StorePair(HostMemory& memory, Pair at, std::span<const uint16_t> lanes);
std::vector<float> LoadQuad(const HostMemory& memory, Quad at);

}  // namespace lockstep
