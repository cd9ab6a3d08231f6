// V12, V13, V14: counters that jitter, chips that start together, clocks that drift.
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "chip/timing.h"
#include "fabric/clock.h"
#include "fabric/link_model.h"
#include "runtime/validation/validate_figures.h"
#include "runtime/validation/validate_testbed.h"

namespace lockstep {
namespace {

constexpr int kIterations = 100'000;
constexpr uint64_t kSeed = 20220618;

const LinkModel& Preset(absl::string_view name) {
  static const auto& presets = *new std::vector<LinkModel>{
      *LinkModel::Create("A"), *LinkModel::Create("B"), *LinkModel::Create("C")};
  for (const LinkModel& preset : presets) {
    if (preset.preset() == name) return preset;
  }
  LOCKSTEP_FAIL("preset %s", name);
}

// Cycle in which a queue of the chip dispatches the instruction after `text`.
int64_t CycleAfter(std::vector<Instruction> text, const ChipTiming& timing,
                   const DispatchContext& context) {
  Program program;
  text.push_back({Opcode::kConfig, false, {kSuperlanes}});
  program.queues[0] = std::move(text);
  const DispatchResult result = Dispatch(program, timing, context);
  LOCKSTEP_CHECK(!result.fault.has_value(), "%s", result.fault->ToString());
  return result.schedule.runs.back().first;
}

// The start protocol down a chain of `height` links, by DESKEW on each chip: epochs from the root's
// TRANSMIT to the boundary at which the last chip goes on.
int64_t EpochsToStart(int64_t latency, int height, const ChipTiming& timing) {
  // The chips' counters are aligned; only when their programs begin differs.
  constexpr int64_t kRootCounter = 100;
  int64_t now = CycleAfter({{Opcode::kDeskew, false, {}}}, timing, {0, kRootCounter, 0});
  const int64_t transmit = now;
  for (int chip = 1; chip <= height; ++chip) {
    const int64_t arrival = now + latency;
    std::vector<Instruction> loop;
    int64_t boundary = 0;
    while (boundary < arrival + (boundary == 0 ? 1 : 0) && loop.size() < 100) {
      loop.push_back({Opcode::kDeskew, false, {}});
      boundary = CycleAfter(loop, timing, {0, kRootCounter, 0});
      if (boundary <= now) boundary = 0;  // polled before the parent's notice was sent
    }
    now = boundary;
  }
  return (now - transmit) / kHacPeriod;
}

}  // namespace

Rows ValidateHacLatency(const ValidationOptions&) {
  const char* origin = "ISCA'22 Table 2";
  const JitterModel jitter;
  const Characterised c = Characterise(jitter, 0, kIterations, kSeed);
  const Characterised b = Characterise(jitter, 1, kIterations, kSeed);
  const std::string same = b.mean_milli == c.mean_milli && b.least == c.least && b.most == c.most
                               ? "gives"
                               : "does not give";
  return {Judge({"V12", FigureClass::kMeasured, "HAC latency, mean", "216.67 cycles", "cycles",
                 215.67, 217.67, "1 cycle", origin},
                static_cast<double>(c.mean_milli) / 1000,
                absl::StrCat(
                    "the jitter's mean, deviation and range are inputs from the same table: this "
                    "shows that the protocol preserves them. A latency longer by one period "
                    "(preset B) ",
                    same, " the same table, so the table cannot tell A from B")),
          Judge({"V12", FigureClass::kMeasured, "HAC latency, standard deviation",
                 "2.63 to 2.93 cycles", "cycles", 2.5, 3.1, "0.3 cycle", origin},
                std::sqrt(c.variance)),
          Judge({"V12", FigureClass::kMeasured, "HAC latency, range of 100000 samples",
                 "15 to 19 cycles", "cycles", 15, 19, "as published", origin},
                static_cast<double>(c.most - c.least),
                absl::StrCat("from ", c.least, " to ", c.most, "; seed ", kSeed))};
}

Rows ValidateStart(const ValidationOptions& options) {
  const char* origin = "ISCA'22 3.2, footnote 4";
  const int64_t once = CycleAfter({{Opcode::kDeskew, false, {}}}, options.timing, {});
  const int64_t twice =
      CycleAfter({{Opcode::kDeskew, false, {}}, {Opcode::kDeskew, false, {}}}, options.timing, {});
  Rows rows = {Judge(
      {"V13", FigureClass::kExact, "HAC period", "252 cycles", "cycles", 252, 252, "exact", origin},
      static_cast<double>(twice - once), "between two DESKEWs of one queue")};
  for (const char* name : {"A", "B"}) {
    const int64_t latency = Preset(name).flight_cycles();
    for (const int height : {1, 3}) {
      const double expected = static_cast<double>((latency / kHacPeriod + 1) * height);
      rows.push_back(Judge(
          {"V13", FigureClass::kExact,
           absl::StrFormat("start-up, L = %d (preset %s), tree height %d", latency, name, height),
           absl::StrFormat("%.0f epochs", expected), "epochs", expected, expected, "exact", origin},
          static_cast<double>(EpochsToStart(latency, height, options.timing)),
          "children leave their DESKEW loop at the first boundary after the notice"));
    }
  }
  return rows;
}

Rows ValidateAlignment(const ValidationOptions& options) {
  const char* origin = "ISCA'22 3.1, 3.3";
  const JitterModel jitter;
  AlignmentSetup setup;
  setup.hops = 3;
  setup.drift_ppm = {50, -50, 50, -50};
  const Alignment a = Align(jitter, setup);
  // 10^5 cycles after a common start, by SAC; RUNTIME_DESKEW corrects what SAC - HAC shows, and HAC
  // is off by the alignment error alone.
  constexpr int64_t kInterval = 100'000, kStall = 252;
  int64_t before = 0, after = 0;
  for (size_t i = 1; i < setup.drift_ppm.size(); ++i) {
    const int64_t drift = kInterval * (setup.drift_ppm[i] - setup.drift_ppm[0]) / 1'000'000;
    const int64_t seen = drift + a.last_errors[i - 1];
    const Instruction stall = {Opcode::kRuntimeDeskew, false, {kStall}};
    const int64_t stalled = CycleAfter({stall}, options.timing, {0, 0, seen});
    before = std::max(before, std::abs(drift));
    after = std::max(after, std::abs(stalled - kStall - drift));
  }
  return {Judge({"V14", FigureClass::kMeasured,
                 "neighbours' HACs after alignment, 50 ppm apart each way", "within link jitter",
                 "cycles", 0, 11, "jitter: 11 above the mean", origin},
                static_cast<double>(a.worst_cycles),
                absl::StrCat("largest of 3000 epochs on 3 links in a chain; to the root ",
                             a.worst_to_root_cycles, "; from half a period away settled after ",
                             a.settled_after_epochs, " epochs, one step an epoch")),
          Judge({"V14", FigureClass::kMeasured, "chips' clocks after RUNTIME_DESKEW",
                 "within link jitter", "cycles", 0, 11, "jitter: 11 above the mean", origin},
                static_cast<double>(after),
                absl::StrCat(before, " cycles apart before it, after 100000 cycles at 100 ppm"))};
}

}  // namespace lockstep
