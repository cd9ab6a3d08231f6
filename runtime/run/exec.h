#pragma once
// Runs programs written by hand, one a chip, all in this process: `lockstep exec`.
//
//   ProgramFile of chip i -> Dispatch -> engine i    words -> SRAM    run (once or more)    dumps
//   -> text
//
// The timeline and the digest are the same with either engine; only the functional one has values.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/event.h"
#include "chip/fault.h"
#include "chip/text.h"
#include "fabric/wiring.h"
#include "runtime/run/session.h"

namespace lockstep {

inline constexpr int kMaxExecRuns = 1'000'000;

struct ExecSetup {
  std::vector<ProgramFile> programs;  // of chip 0, 1, ...
  Wiring wiring;                      // of as many chips
  ChipTiming timing;
  EngineKind engine = EngineKind::kFunctional;
  int runs = 1;
};

// One chip after all its runs.
struct ExecChip {
  std::shared_ptr<const Schedule> schedule;
  std::vector<RunRetired> retired;  // of the first run, in order
  uint64_t digest = 0;              // over all runs
  std::vector<SramWord> values;     // what its .dumps ask for; none with the timing engine
};

struct ExecResult {
  std::vector<ExecChip> chips;
  // The earliest of all chips; then `chips` is empty.
  std::optional<Fault> fault;
};

// SRAM and MXM state stay from one run to the next, as on the machine.
// Errors: no program, not as many chips in the wiring, runs out of [1, kMaxExecRuns].
absl::StatusOr<ExecResult> Execute(const ExecSetup& setup);

// A line a chip, with its timeline if asked for, then the values as `.word` lines.
// REQUIRES: result.fault is absent.
std::string ExecText(const ExecSetup& setup, const ExecResult& result, bool timeline);

}  // namespace lockstep
