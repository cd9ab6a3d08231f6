// Rows and explanations of the baseline (runtime/comparison/baseline.h).
#include "runtime/comparison/baseline.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "runtime/comparison/message_sizes.h"

namespace lockstep {
namespace {

double Us(int64_t ps) { return static_cast<double>(ps) / 1e6; }

std::string CandidateRows(const nccl::Outcome& outcome) {
  if (outcome.candidates.empty()) return "  point-to-point: nothing to weigh\n";
  std::string text =
      "  NCCL's model (it selects, it does not predict):\n"
      "    algorithm protocol  latency us  algbw GB/s     time us\n";
  for (const nccl::Candidate& c : outcome.candidates) {
    const bool chosen =
        c.algorithm == outcome.choice.algorithm && c.protocol == outcome.choice.protocol;
    absl::StrAppendFormat(&text, "    %-9s %-8s %11.2f %11.2f %11.2f%s\n", Name(c.algorithm),
                          Name(c.protocol), c.latency_us, c.gb_per_s, c.time_us,
                          chosen ? "  <- chosen" : "");
  }
  return text;
}

std::string BreakdownRows(const nccl::Outcome& outcome) {
  const nccl::Breakdown& b = outcome.critical;
  const double sum = static_cast<double>(b.Sum());
  std::string text = absl::StrFormat(
      "  where the time of the last GPU goes (%d calls back to back, "
      "%d events):\n",
      outcome.launches, outcome.events);
  const auto row = [&](const char* what, int64_t ps) {
    absl::StrAppendFormat(&text, "    %-44s %12.3f us  %5.1f %%\n", what, Us(ps),
                          100 * static_cast<double>(ps) / sum);
  };
  row("between kernels", b.launch);
  row("waits and barriers in thread blocks", b.fixed);
  row("moving bytes in thread blocks", b.copy);
  row("the port, beyond what blocks take", b.port);
  row("data on the wire", b.wire);
  row("free slots on their way back", b.credit);
  return text;
}

std::string FigureRows(const GpuMachine& machine) {
  std::string text = absl::StrFormat("  rests on %d figures, %d of them calibrated (*):\n",
                                     machine.figures.size(), machine.calibrated());
  for (const FigureOrigin& f : machine.figures) {
    absl::StrAppendFormat(&text, "    %-26s %7d%s  %s\n", f.name, f.value, f.calibrated ? "*" : " ",
                          f.source);
  }
  return text;
}

}  // namespace

BandwidthPoint MakePoint(nccl::Operation collective, int64_t bytes, int ranks, double time_us) {
  const double algbw = static_cast<double>(bytes) / (time_us * 1e3);
  return {bytes, time_us, algbw, algbw * nccl::BusFactor(collective, ranks)};
}

absl::StatusOr<std::vector<BaselineRow>> RunBaseline(const nccl::Machine& machine,
                                                     const nccl::Options& options,
                                                     nccl::Operation collective, int gpus,
                                                     const std::vector<int64_t>& sizes) {
  std::vector<BaselineRow> rows;
  for (int64_t bytes : sizes) {
    ASSIGN_OR_RETURN(const nccl::Outcome outcome,
                     nccl::Simulate(machine, options, {collective, bytes, gpus}));
    rows.push_back({MakePoint(collective, bytes, gpus, Us(outcome.time_ps)), outcome.choice});
  }
  return rows;
}

std::string ChoiceText(const nccl::Choice& c) {
  return absl::StrFormat("%s/%s %d x %d", Name(c.algorithm), Name(c.protocol), c.channels,
                         c.threads);
}

absl::StatusOr<std::string> ExplainBaseline(const GpuMachine& machine, const nccl::Options& options,
                                            const nccl::Call& call) {
  ASSIGN_OR_RETURN(const nccl::Outcome o, nccl::Simulate(machine.machine, options, call));
  const nccl::Version version = options.version.value_or(machine.machine.version);
  std::string text =
      absl::StrFormat("%s of %d B on %d GPUs of %s, NCCL %s\n", Name(call.operation), call.bytes,
                      call.ranks, machine.machine.name, version.ToString());
  if (o.bytes != call.bytes) {
    absl::StrAppendFormat(&text, "  moves %d B: whole fp32 elements for each GPU\n", o.bytes);
  }
  text += CandidateRows(o);
  absl::StrAppendFormat(&text, "  runs as %s/%s on %d channels of %d threads\n",
                        Name(o.choice.algorithm), Name(o.choice.protocol), o.choice.channels,
                        o.choice.threads);
  const BandwidthPoint p = MakePoint(call.operation, call.bytes, call.ranks, Us(o.time_ps));
  absl::StrAppendFormat(&text, "  time %.2f us, algbw %.2f GB/s, busbw %.2f GB/s\n", p.time_us,
                        p.algbw, p.busbw);
  if (options.launch == nccl::LaunchMode::kSerial) {
    absl::StrAppendFormat(&text,
                          "  of this %.2f us are the host's launches, kernels alone take "
                          "%.2f us\n",
                          Us(o.host_ps), Us(o.kernel_ps));
  }
  return absl::StrCat(text, BreakdownRows(o), FigureRows(machine));
}

}  // namespace lockstep
