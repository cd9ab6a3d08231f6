#pragma once
// What the programs of a deployment say of it, once they are compiled: cycles of a token, link
// load, text. All for one sequence, however many are in flight; nothing is run or verified.

#include <cstdint>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "fabric/link_model.h"
#include "runtime/compiler/deployment.h"
#include "runtime/compiler/layout.h"

namespace lockstep {

// The most loaded link of a kind.
struct LinkLoad {
  int64_t vectors = 0;  // it sends for one token
  double share = 0;     // of the time in which its chip works on the token
};

// The way from a stage to the next where no cable joins them.
struct PlanDetour {
  int stage;                     // that sends
  int ways;                      // side by side
  std::vector<uint32_t> relays;  // chips that pass on
  int64_t flight_cycles;         // of the first way, what its chips take included
};

struct PlanSchedule {
  int64_t cycles = 0;               // from the first part's start to the last part's end
  int64_t text_bytes = 0;           // of the chip with the most; held in queues, not in SRAM
  int roles = 0;                    // different programs
  LinkLoad in_node, between_nodes;  // vectors 0: no such link sends
  std::vector<PlanDetour> detours;  // between stages of layers
  std::vector<SramUse> sram;        // of a chip, by stage, as it was allocated
};

// Errors: stages whose cables cannot carry the hidden vector; what does not compile.
absl::StatusOr<PlanSchedule> CompilePlan(const Deployment& deployment, const Topology& topology,
                                         const LinkModel& links, const ChipTiming& timing);

}  // namespace lockstep
