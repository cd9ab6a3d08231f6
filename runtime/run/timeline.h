#pragma once
// The timeline of a run as Chrome trace JSON, which Perfetto and chrome://tracing open.
//
//   process   a chip          "chip3"
//   track     the kernels, then every queue in use: "kernels", "mem0", ..., "c2c6"; runs that
//             overlap on one queue (joined reads and writes) go to a second track "mem0 (2)"
//   slice     a run of one instruction, from its first dispatch to the cycle after its last
//   flow      a vector, from its SEND to its RECEIVE on the chip at the other end
//
// Times are cycles: one cycle is one microsecond of the trace, so that all numbers stay whole.
// Steps follow each other without gaps.

#include <cstdint>
#include <string>
#include <vector>

#include "chip/event.h"
#include "fabric/transport.h"
#include "fabric/wiring.h"
#include "runtime/kernels/block.h"

namespace lockstep {

struct ChipEvent {
  uint32_t chip;
  int32_t program;  // of the chip, counted over all steps
  RunRetired run;
};

// How many programs a chip has in each step: in the first `batches` steps, and in all others.
struct ProgramsOfSteps {
  int batches = 0, of_batch = 0, of_step = 1;
  struct Place {
    int step, program;  // the program of the step
  };
  // Of a program of the chip, counted over all steps.
  Place PlaceOf(int program) const;
};

// Keeps the events of the first `steps` steps. Chips may report from different threads, each from
// one at a time. REQUIRES of Take: no run under way.
class TimelineRecorder : public Observer {
 public:
  TimelineRecorder(int chips, int steps) : steps_(steps), logs_(static_cast<size_t>(chips)) {}

  // Of the chip; one a step unless told. Before it runs.
  void SetPrograms(uint32_t chip, const ProgramsOfSteps& programs) {
    logs_[chip].programs = programs;
  }
  void OnRun(uint32_t chip, const RunRetired& run) override;
  std::vector<ChipEvent> Take();  // by chip, then in order

 private:
  struct Log {
    ProgramsOfSteps programs = {};
    int program = -1;  // counted over all steps
    std::vector<ChipEvent> events;
  };
  const int steps_;
  std::vector<Log> logs_;  // by chip
};

// The events of all processes, by chip, in process 0; elsewhere nothing. Collective.
std::vector<ChipEvent> GatherEvents(Transport& transport, const std::vector<ChipEvent>& mine);

// One program of a chip's step.
struct TimelineProgram {
  int64_t start;                             // cycle of the step
  const std::vector<Placer::Span>* kernels;  // in the program's cycles
};

struct TimelineInput {
  const Wiring& wiring;
  std::vector<std::vector<TimelineProgram>> programs;  // by chip, of every step
  int64_t step_cycles;
  std::vector<ChipEvent> events;  // by chip, then in order
  // The first `batches` steps are of another kind.
  int batches = 0;
  std::vector<std::vector<TimelineProgram>> batch_programs = {};
  int64_t batch_cycles = 0;
};

std::string TimelineJson(const TimelineInput& input);

}  // namespace lockstep
