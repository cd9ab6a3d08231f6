#pragma once
// What validation programs run on: a lone chip on either engine, and flows of vectors over real
// routes between emulated chips.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/event.h"
#include "chip/fault.h"
#include "chip/functional.h"
#include "chip/latency.h"
#include "chip/program.h"
#include "fabric/launch.h"
#include "fabric/link_model.h"
#include "fabric/routes.h"
#include "fabric/topology.h"
#include "runtime/kernels/block.h"

namespace lockstep {

// A block as a program of its own; its relative 0 moves so that nothing starts before cycle 0.
Program ToProgram(const Block& block, const ChipTiming& timing);

// Dispatches of one chip, as its engine reported them.
struct Execution {
  std::optional<Fault> fault;  // then there are no runs
  std::vector<RunRetired> runs;
  int64_t end = 0;  // first cycle after the last dispatch
  int64_t text_bytes = 0;
  uint64_t digest = 0;

  std::string Problem() const { return fault ? fault->ToString() : ""; }
  // Whether a rule of the machine was broken, and not the agreement of the engines.
  bool Refused() const { return fault && fault->kind != FaultKind::kUntested; }
  // First and last dispatch cycle of `op` over all queues. REQUIRES: it was dispatched.
  int64_t First(Opcode op) const;
  int64_t Last(Opcode op) const;
  // Dispatches of `op` in cycles from, ..., to - 1.
  int64_t CountIn(Opcode op, int64_t from, int64_t to) const;
};

Execution RunTiming(const Program& program, const ChipTiming& timing);
// `prepare` fills SRAM before the run, `inspect` looks at it after one without fault.
using OnSram = std::function<void(Sram&)>;
Execution RunFunctional(const Program& program, const ChipTiming& timing,
                        const OnSram& prepare = {}, const OnSram& inspect = {});
// On both engines; a difference is reported as a fault of kind kUntested with that detail.
Execution RunBoth(const Program& program, const ChipTiming& timing, const OnSram& prepare = {},
                  const OnSram& inspect = {});

// The program's runs with their cycles. Error: the fault of a text that cannot be dispatched.
absl::StatusOr<std::shared_ptr<const Schedule>> ScheduleOf(const Program& program,
                                                           const ChipTiming& timing);

// Programs of all chips of the topology on the timing engine, verified before. Errors: a broken rule, as
// verification or the engine finds it.
absl::Status RunLaunches(const std::vector<Launches>& launches, const Topology& topology,
                         const LinkModel& links, const ChipTiming& timing);

// `vectors` one after the other from the SRAM of the first chip of `path` into that of the last,
// stored in and read from SRAM at each chip between.
struct Flow {
  Path path;
  int vectors = 1;
};

// Runs all flows at once, each from cycle 0 on, on the timing engine with the chips that `flows`
// touch; returns the cycle after which the last vector is in SRAM, counted from the first read.
// REQUIRES: no two flows share a link. Errors: a fault, as its text.
absl::StatusOr<int64_t> RunFlows(const Topology& topology, const LinkModel& links,
                                 const ChipTiming& timing, const std::vector<Flow>& flows);

}  // namespace lockstep
