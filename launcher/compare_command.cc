// Options of `lockstep compare`; the work is in runtime/comparison/compare.h and
// runtime/comparison/calibration.h.
#include "launcher/compare_command.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "launcher/compare_flags.h"
#include "launcher/exit_code.h"
#include "launcher/paths.h"
#include "runtime/comparison/calibration.h"
#include "runtime/comparison/compare.h"
#include "runtime/comparison/compare_picture.h"
#include "runtime/comparison/message_sizes.h"
#include "runtime/files/atomic_file.h"
#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

struct CompareCommandFlags {
  CompareFlags compare;
  std::string csv, svg, explain, calibration, topology_dir;
};

constexpr char kDefaultCheck[] = "64K";

absl::StatusOr<nccl::Options> BaselineOptions(const CompareFlags& flags) {
  nccl::Options options;
  if (flags.version) {
    ASSIGN_OR_RETURN(options.version, nccl::Version::Parse(*flags.version));
  }
  if (flags.algorithm) {
    ASSIGN_OR_RETURN(options.forced.algorithm, nccl::AlgorithmByName(*flags.algorithm));
  }
  if (flags.protocol) {
    ASSIGN_OR_RETURN(options.forced.protocol, nccl::ProtocolByName(*flags.protocol));
  }
  if (flags.launch == "one-process") options.launch = nccl::LaunchMode::kSerial;
  return options;
}

absl::StatusOr<std::vector<nccl::Operation>> Collectives(const CompareFlags& flags) {
  std::vector<nccl::Operation> collectives;
  for (const std::string& name : flags.collectives) {
    ASSIGN_OR_RETURN(const nccl::Operation collective, nccl::OperationByName(name));
    if (std::find(collectives.begin(), collectives.end(), collective) != collectives.end()) {
      return absl::InvalidArgumentError(absl::StrCat("--collective ", name, ": given twice"));
    }
    collectives.push_back(collective);
  }
  return collectives;
}

absl::Status Print(const std::string& text) {
  std::cout << text << std::flush;
  return std::cout ? absl::OkStatus() : absl::DataLossError("cannot write to standard output");
}

absl::StatusOr<Topology> OurTopology(const CompareCommandFlags& flags) {
  ASSIGN_OR_RETURN(TopologySpec spec,
                   LoadTopology(flags.compare.topology, TopologyDir(flags.topology_dir)));
  return Topology::Create(std::move(spec));
}

// One collective on both sides, or on the baseline alone without a topology.
absl::StatusOr<Comparison> Compare(nccl::Operation collective, const std::vector<int64_t>& sizes,
                                   const nccl::Machine& machine, const nccl::Options& options,
                                   int gpus, const Topology* topology, int64_t checked) {
  Comparison comparison{collective, {}};
  ASSIGN_OR_RETURN(const auto baseline, RunBaseline(machine, options, collective, gpus, sizes));
  for (const BaselineRow& row : baseline) comparison.rows.push_back({std::nullopt, row});
  if (topology == nullptr) return comparison;
  LockstepSide side(*topology, collective, checked);
  for (ComparedSize& row : comparison.rows) {
    ASSIGN_OR_RETURN(row.lockstep, side.Run(row.baseline.point.bytes));
  }
  return comparison;
}

absl::Status PrintComparisons(const CompareCommandFlags& flags, const nccl::Options& options,
                              const std::vector<nccl::Operation>& collectives,
                              const GpuMachine& machine) {
  const CompareFlags& compare = flags.compare;
  const auto sizes = ParseMessageSizes(compare.sizes, nccl::kMostBytes);
  if (!sizes.ok()) return AsUsage(sizes.status());
  const auto checked = ParseMessageSize(compare.check.value_or(kDefaultCheck), kRoundBytes);
  if (!checked.ok()) return AsUsage(checked.status());
  Channels channels{0, machine.machine.pin_mb_per_s / 1e3};
  std::optional<Topology> topology;
  if (!compare.baseline_only) {
    ASSIGN_OR_RETURN(topology, OurTopology(flags));
    channels.lockstep = ChannelGbPerS(*topology);
  }
  std::vector<Comparison> all;
  for (const nccl::Operation collective : collectives) {
    ASSIGN_OR_RETURN(const Comparison one,
                     Compare(collective, *sizes, machine.machine, options, compare.gpus,
                             topology ? &*topology : nullptr, *checked));
    if (!all.empty()) RETURN_IF_ERROR(Print("\n"));
    RETURN_IF_ERROR(Print(CompareTable(collective, one.rows, channels)));
    if (topology) RETURN_IF_ERROR(Print(CompareSummary(one.rows, channels)));
    all.push_back(one);
  }
  if (!flags.svg.empty()) {
    RETURN_IF_ERROR(
        WriteAtomically(flags.svg, ComparePicture(all, channels, machine.machine.name)));
  }
  return flags.csv.empty() ? absl::OkStatus() : WriteAtomically(flags.csv, CompareCsv(all));
}

absl::Status RunCompare(const CompareCommandFlags& flags) {
  const auto collectives = Collectives(flags.compare);
  if (!collectives.ok()) return AsUsage(collectives.status());
  const auto options = BaselineOptions(flags.compare);
  if (!options.ok()) return AsUsage(options.status());
  ASSIGN_OR_RETURN(const GpuMachine machine,
                   LoadGpuMachine(flags.compare.baseline, TopologyDir(flags.topology_dir)));
  const bool one = !flags.explain.empty() || !flags.calibration.empty();
  if (!one) return PrintComparisons(flags, *options, *collectives, machine);
  if (collectives->size() != 1) {
    return AsUsage(absl::InvalidArgumentError(
        "--explain and --calibration are of one --collective"));
  }
  if (!flags.explain.empty()) {
    const auto bytes = ParseMessageSize(flags.explain, nccl::kMostBytes);
    if (!bytes.ok()) return AsUsage(bytes.status());
    ASSIGN_OR_RETURN(const std::string text,
                     ExplainBaseline(machine, *options,
                                     {collectives->front(), *bytes, flags.compare.gpus}));
    return Print(text);
  }
  ASSIGN_OR_RETURN(const auto log, LoadNcclLog(flags.calibration, nccl::kMostBytes));
  ASSIGN_OR_RETURN(const std::string text,
                   CalibrationReport(machine, *options, collectives->front(), flags.compare.gpus,
                                     log));
  return Print(text);
}

}  // namespace

void AddCompareCommand(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<CompareCommandFlags>();
  CLI::App* command = app.add_subcommand(
      "compare", "Collectives of a node beside those of eight GPUs under NCCL (simulated)");
  AddCompareFlags(*command, &flags->compare);
  CLI::Option* csv =
      command->add_option("--csv", flags->csv, "File: one row a collective and size");
  CLI::Option* svg = command->add_option("--svg", flags->svg, "File: the curves as a picture");
  CLI::Option* explain = command->add_option(
      "--explain", flags->explain, "What NCCL chooses for this size, and where the time goes");
  CLI::Option* calibration = command->add_option(
      "--calibration", flags->calibration,
      "Measured times (CSV with bytes,time_us): errors by band, ablation, constants");
  for (const char* name : {"--sizes", "--baseline-only", "--topology", "--check"}) {
    explain->excludes(command->get_option(name));
    calibration->excludes(command->get_option(name));
  }
  explain->excludes(csv)->excludes(svg)->excludes(calibration);
  calibration->excludes(csv)->excludes(svg);
  command->add_option("--topology-dir", flags->topology_dir, "Folder of <name>.textproto files");
  command->callback([flags, result] { *result = RunCompare(*flags); });
}

}  // namespace lockstep
