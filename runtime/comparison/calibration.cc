// Errors by band, and what each mechanism buys (runtime/comparison/calibration.h).
#include "runtime/comparison/calibration.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "runtime/comparison/baseline.h"

namespace lockstep {
namespace {

constexpr std::array<const char*, kBands> kBandNames = {"<= 1 KB", "2-64 KB", "128 KB-1 MB",
                                                        "2-32 MB", ">= 64 MB"};

int BandOf(int64_t bytes) {
  if (bytes < 2 << 10) return 0;
  if (bytes < 128 << 10) return 1;
  if (bytes < 2 << 20) return 2;
  return bytes < 64 << 20 ? 3 : 4;
}

struct Ablation {
  const char* without;
  bool nccl::Mechanisms::*mechanism;
};
constexpr Ablation kAblations[] = {
    {"protocol by size (Ring/Simple always)", &nccl::Mechanisms::choice},
    {"channels and threads by size (all always)", &nccl::Mechanisms::scaling},
    {"cost of each pass of LL and LL128 (once a step)", &nccl::Mechanisms::passes},
    {"waiting for the slowest warp", &nccl::Mechanisms::slowest},
    {"chunks of whole grains", &nccl::Mechanisms::rounding},
    {"two slices a Simple chunk", &nccl::Mechanisms::slices},
    {"ports shared by channels", &nccl::Mechanisms::port},
    {"time on the wire", &nccl::Mechanisms::wire},
};

std::string BandLine(const char* label, const BandErrors& errors) {
  std::string line = absl::StrFormat("  %-50s", label);
  for (double e : errors.band) line += e < 0 ? "          -" : absl::StrFormat(" %10.2f", e);
  return absl::StrCat(line, absl::StrFormat(" %8.2f\n", errors.all));
}

std::string RowTable(const std::vector<CalibrationRow>& rows) {
  std::string text = "       bytes  measured us simulated us   error %  NCCL runs\n";
  for (const CalibrationRow& r : rows) {
    absl::StrAppendFormat(&text, "%12d %12.2f %12.2f %+9.1f  %s\n", r.measured.bytes,
                          r.measured.time_us, r.simulated_us,
                          100 * (r.simulated_us / r.measured.time_us - 1), ChoiceText(r.choice));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::vector<CalibrationRow>> Calibrate(const nccl::Machine& machine,
                                                      const nccl::Options& options,
                                                      nccl::Operation collective, int gpus,
                                                      const std::vector<MeasuredTime>& log) {
  std::vector<CalibrationRow> rows;
  for (const MeasuredTime& measured : log) {
    ASSIGN_OR_RETURN(const nccl::Outcome outcome,
                     nccl::Simulate(machine, options, {collective, measured.bytes, gpus}));
    rows.push_back({measured, static_cast<double>(outcome.time_ps) / 1e6, outcome.choice});
  }
  return rows;
}

BandErrors ErrorsByBand(const std::vector<CalibrationRow>& rows) {
  BandErrors errors;
  std::array<int, kBands> count{};
  for (const CalibrationRow& r : rows) {
    const double error = 100 * std::abs(r.simulated_us / r.measured.time_us - 1);
    errors.band[BandOf(r.measured.bytes)] += error;
    errors.all += error / static_cast<double>(rows.size());
    ++count[BandOf(r.measured.bytes)];
  }
  for (int b = 0; b < kBands; ++b) errors.band[b] = count[b] > 0 ? errors.band[b] / count[b] : -1;
  return errors;
}

absl::StatusOr<std::string> CalibrationReport(const GpuMachine& machine,
                                              const nccl::Options& options,
                                              nccl::Operation collective, int gpus,
                                              const std::vector<MeasuredTime>& log) {
  ASSIGN_OR_RETURN(const auto rows, Calibrate(machine.machine, options, collective, gpus, log));
  std::string text = RowTable(rows);
  absl::StrAppendFormat(&text, "\nMean absolute error, %%:\n  %-50s", "");
  for (const char* name : kBandNames) absl::StrAppendFormat(&text, " %10.10s", name);
  absl::StrAppendFormat(&text, " %8s\n", "all");
  text += BandLine("the model", ErrorsByBand(rows));
  for (const Ablation& a : kAblations) {
    nccl::Options reduced = options;
    reduced.mechanisms.*a.mechanism = false;
    ASSIGN_OR_RETURN(const auto without,
                     Calibrate(machine.machine, reduced, collective, gpus, log));
    text += BandLine(absl::StrCat("without ", a.without).c_str(), ErrorsByBand(without));
  }
  absl::StrAppendFormat(&text, "\n%d constants of %s are calibrated:\n", machine.calibrated(),
                        machine.machine.name);
  for (const FigureOrigin& f : machine.figures) {
    if (f.calibrated) absl::StrAppendFormat(&text, "  %-26s %7d  %s\n", f.name, f.value, f.source);
  }
  return text;
}

}  // namespace lockstep
