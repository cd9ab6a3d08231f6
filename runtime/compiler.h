#pragma once
// Compile: from a plan to one chip's program and the places of everything in its SRAM.
//
// Every chip of the group runs the same instructions in the same cycles; chips differ in what their
// weight rows hold, and in which of their links leads to which other.
//
// One program serves every position of a run. Before each step the host writes the step's inputs
// (StepInputs), after it the host reads the logits.

#include <vector>

#include "absl/status/statusor.h"
#include "chip/program.h"
#include "runtime/block.h"
#include "runtime/collective.h"
#include "runtime/memory_map.h"
#include "runtime/plan.h"

namespace lockstep {

// A matrix cut by row tiles between the hemispheres; part p begins at row `first_row[p]`.
struct SplitMatrix {
  struct Part {
    Matrix matrix;
    int first_row;
  };
  std::vector<Part> parts;
};

// Where an output of a SplitMatrix went: `words` vectors from word `first`.
struct Segment32 {
  Quad at;
  int first, words;
};

struct LayerMap {
  SplitMatrix q, k, v, o, gate, up, down;
  Quad attention_gain, mlp_gain;
  std::vector<int> keys, values;  // weight rows of the cache, by KV slot
};

// Everything in a chip's SRAM that the host fills or reads.
struct ModelMap {
  // Weights, written once.
  Hemisphere embedding_side = Hemisphere::kWest;
  int embedding_rows = 0;  // first weight row
  std::vector<LayerMap> layers;
  Quad final_gain{};
  SplitMatrix head;
  // Constants, written once.
  Quad iota{};       // a vector a key tile: lane = its position, as fp32
  Quad cos_table{}, sin_low_table{}, sin_high_table{};  // a vector a position
  Quad low_half{};   // all bits in lanes 0..159
  Pair identity{};   // vector d: all bits in lane d
  int ones_row = 0;  // eastern weight row: fp16 ones in lanes 0..159
  // Inputs of a step.
  Single token_map{};                     // row of the token in the embedding, or 0xffff
  Single position_map_west{}, position_map_east{};  // the position
  Quad position{};                        // the position in every lane, as fp32
  Single key_maps{};                      // 16 vectors (Attention::AppendKey)
  Single value_map_read{}, value_map_write{};
  Pair one_hot{};
  // Outputs of a step.
  std::vector<Segment32> logits;
};

inline constexpr Hemisphere kAttentionSide = Hemisphere::kEast;

struct CompiledChip {
  ModelMap map;
  Program program;
  std::vector<Placer::Span> spans;   // of the kernels, for reports
  int64_t weight_stream_bytes = 0;   // of one step: what LW took
  int64_t sram_bytes = 0;            // allocated
};

// Errors: the shard does not fit in SRAM (with the numbers); latencies that the kernels' layout does
// not allow (VXM operations take multiples of or's cycles; add and max the same).
absl::StatusOr<CompiledChip> CompileChip(const Plan& plan, const Group& group,
                                         const ChipTiming& timing);

}  // namespace lockstep
