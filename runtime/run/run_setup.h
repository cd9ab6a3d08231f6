#pragma once
// From the options of a run to all that every process must know before it starts: model, plan,
// chips and wires. Deterministic, the same in every process, and checked before any MPI starts.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/link_model.h"
#include "fabric/topology.h"
#include "fabric/wiring.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/tokenizer.h"
#include "runtime/run/run_options.h"
#include "runtime/run/session.h"

namespace lockstep {

struct RunSetup {
  RunOptions options;
  std::optional<Tokenizer> tokenizer;    // of the model folder, if it has one
  std::optional<Checkpoint> checkpoint;  // functional engine only
  Topology topology;                     // whole, not only the chips that run
  LinkModel links;
  Wiring wiring;  // of the chips that run
  SessionSetup session;
  std::vector<int> prompt_ids;
  std::vector<int> eos_ids;  // empty with ignore_eos

  // Chips of the fabric, from chip 0 to the last that has work; spare nodes between are idle.
  int chips() const { return static_cast<int>(wiring.chips()); }
  int chips_per_rank() const { return options.chips_per_rank.value_or(1); }
  int ranks() const { return (chips() + chips_per_rank() - 1) / chips_per_rank(); }
  // Steps at most: every id but the last generated one is fed.
  int positions() const { return static_cast<int>(prompt_ids.size()) + options.tokens - 1; }
};

// Errors: ValidateOptions; model, tokenizer, topology that cannot be read; a topology too small;
// what cannot be planned; ids outside the vocabulary; a run longer than its context.
// `topology_dir` is where names of topologies are looked up.
absl::StatusOr<RunSetup> PrepareRun(const RunOptions& options, const std::string& topology_dir);

// Compiles every role, proves the programs of all chips and all their transfers legal as a whole
// (runtime/machine/verify.h), and leaves the programs in setup->session for a run in this process.
// Where ranks are to start, reads chip 0's weights into nothing, too: done once, before any process
// starts, an error here would be an error of every rank.
absl::Status VerifyRun(RunSetup* setup);

}  // namespace lockstep
