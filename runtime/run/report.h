#pragma once
// What a run comes to: the closing table and the JSON of --report.
//
// All times of the emulated machine follow from the program's cycles at 900 MHz and from the host
// link of Groq's own estimator (groqflow: PCIe at 24 GB/s, 10 us fixed each way), an assumption
// that is marked as such. In the JSON everything outside the object "host" is the same on every
// host and for every transport, thread count and number of ranks.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/run/generate.h"
#include "runtime/run/run_setup.h"
#include "runtime/run/time_use.h"

namespace lockstep {

inline constexpr int64_t kClockHz = 900'000'000;
inline constexpr double kHostLinkSeconds = 10e-6;  // each way
inline constexpr double kHostLinkBytesPerSecond = 24e9;

// Of the machine that emulates; nothing else here depends on it.
struct HostTimes {
  TransportKind transport = TransportKind::kLocal;
  int ranks = 1;
  int threads = 1;
  double start_seconds = 0;  // compile and load weights
  double run_seconds = 0;    // all steps
};

struct RunReport {
  RunOptions options;
  ModelConfig model;
  std::string topology, topology_rules;
  int topology_chips = 0, topology_nodes = 0;
  int chips = 0, stages = 0, context = 0;  // chips that have work
  int sequences = 1;
  NumberFormat weights = NumberFormat::kFp16, kv_cache = NumberFormat::kFp16;
  std::string hop_latency, hop_origin;
  int64_t hop_cycles = 0, link_ticks = 0;
  int batch = 1;                    // positions of the prompt that a program takes
  int flight = 1;                   // or that follow each other over the stages in one step
  int group = 0;                    // of these, whose embeddings go before their layers
  int64_t group_cycles = 0;         // from one group to the next
  StepCost cost, batch_cost;        // of a token, of a batch
  SramUse sram;                     // of the chip with the most
  std::vector<PipelinePart> parts;  // of one sequence's step
  TimeUse time{};                   // of one sequence's step, by the first chip of each stage
  int64_t step_input_bytes = 0, step_output_bytes = 0;  // a chip
  int64_t batch_input_bytes = 0, batch_output_bytes = 0;
  std::vector<int> prompt_ids;
  RunResult result;
  uint64_t plan_digest = 0;
  HostTimes host;

  // Seconds of the emulated machine.
  double ProgramSeconds() const { return static_cast<double>(cost.latency) / kClockHz; }
  double HostLinkSeconds() const;  // in and out, all chips at once
  double LatencySeconds() const { return ProgramSeconds() + HostLinkSeconds(); }
  // Of a sequence's batch of the prompt, or of all sequences' flights; with host link, and until
  // its next one.
  int64_t BatchCycles() const;
  double BatchSeconds() const;
  // From a sequence's step to its next one: its own way through the pipeline, or, where that takes
  // longer, that of all sequences through the slowest stage.
  double StepSeconds() const;
  int PromptPositions() const { return std::max(batch, flight); }  // of one step
  double FirstTokenSeconds() const;
  double EmulatedSeconds() const;  // of all steps
  // Shares, 0..1.
  double WeightStreamShare() const;
  double LinkShare(int64_t vectors_of_one_link) const;
  double MeanLinkShare() const;  // of the links that send at all

  int64_t Instructions() const;  // executed by all chips in all steps
  double Slowdown() const;       // host time over emulated time

 private:
  double AllSequencesSeconds(const StepCost& step) const;  // through the slowest stage
};

RunReport MakeReport(const RunSetup& setup, const Session& session, const RunResult& result,
                     const HostTimes& host);

std::string ReportTable(const RunReport& report);
std::string ReportJson(const RunReport& report);

}  // namespace lockstep
