#pragma once
// The loop of a run, in process 0: prompt ids in whole batches where the plan has them and one by
// one else, then what the sampler chose, until an end-of-text id or enough tokens. The other
// processes only Follow() (runtime/run/session.h).
//
//   position   0    1    2    3    4         the last id generated is never fed:
//   fed        p0   p1   p2   g0   g1        prompt + generated - 1 steps
//   gives      -    -    g0   g1   g2
//
// Several sequences go on side by side, each with a sampler of its own, until all have ended; text
// is shown of the first.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/files/atomic_file.h"
#include "runtime/run/run_setup.h"

namespace lockstep {

enum class StopReason : uint8_t { kTokens, kEndOfText };

struct RunResult {
  std::vector<int> ids;  // generated, an end-of-text id included; empty with the timing engine
  std::vector<std::vector<int>> all_ids;  // of every sequence; the first is `ids`
  std::string text;                       // of prompt and ids, if there is a tokenizer
  StopReason stop = StopReason::kTokens;  // of the first sequence
  int batches = 0, steps = 0;             // program runs: of whole batches, of one position
  // xxHash64 of the bits of all logits from the prompt's last position on, in order; functional
  // only.
  uint64_t value_digest = 0;
  uint64_t timing_digest = 0;
};

struct GenerateSinks {
  // Text that became certain, the prompt's first; ids and spaces where there is no tokenizer.
  std::function<void(absl::string_view)> text;
  // After each step: how many of how many at most are done.
  std::function<void(int done, int of)> progress;
  AtomicFile* logits = nullptr;  // a row of fp32 a position, little-endian; may be null
};

// REQUIRES: process 0. Collective with Follow() of the others, and TimingDigest() of all after it.
// Errors: a fault, logits that cannot be sampled or written; then the others have been let go.
absl::StatusOr<RunResult> Generate(const RunSetup& setup, Session& session,
                                   const GenerateSinks& sinks);

}  // namespace lockstep
