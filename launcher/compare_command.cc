// Options of `lockstep compare`; the work is in runtime/comparison/compare.h and
// runtime/comparison/calibration.h.
#include "launcher/compare_command.h"

#include <iostream>
#include <memory>
#include <string>

#include "chip/check.h"
#include "launcher/exit_code.h"
#include "launcher/paths.h"
#include "runtime/comparison/calibration.h"
#include "runtime/comparison/compare.h"
#include "runtime/comparison/message_sizes.h"
#include "runtime/files/atomic_file.h"
#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

struct CompareFlags {
  std::string collective = "all_reduce", sizes = "8:8G:2", baseline = "dgx-a100";
  std::string topology = "groqnode", check = "64K";
  std::string csv, explain, calibration, version, launch = "mpi", algorithm, protocol, topology_dir;
  int gpus = 8;
  bool baseline_only = false;
};

absl::StatusOr<nccl::Options> BaselineOptions(const CompareFlags& flags) {
  nccl::Options options;
  if (!flags.version.empty()) {
    ASSIGN_OR_RETURN(options.version, nccl::Version::Parse(flags.version));
  }
  if (!flags.algorithm.empty()) {
    ASSIGN_OR_RETURN(options.forced.algorithm, nccl::AlgorithmByName(flags.algorithm));
  }
  if (!flags.protocol.empty()) {
    ASSIGN_OR_RETURN(options.forced.protocol, nccl::ProtocolByName(flags.protocol));
  }
  if (flags.launch == "one-process") options.launch = nccl::LaunchMode::kSerial;
  return options;
}

absl::Status Print(const std::string& text) {
  std::cout << text << std::flush;
  return std::cout ? absl::OkStatus() : absl::DataLossError("cannot write to standard output");
}

absl::Status RunOurSide(const CompareFlags& flags, nccl::Operation collective,
                        std::vector<ComparedSize>& rows, Channels& channels) {
  const auto checked = ParseMessageSize(flags.check, kRoundBytes);
  if (!checked.ok()) return AsUsage(checked.status());
  ASSIGN_OR_RETURN(TopologySpec spec,
                   LoadTopology(flags.topology, TopologyDir(flags.topology_dir)));
  ASSIGN_OR_RETURN(const Topology topology, Topology::Create(std::move(spec)));
  channels.lockstep = ChannelGbPerS(topology);
  LockstepSide side(topology, collective, *checked);
  for (ComparedSize& row : rows) {
    ASSIGN_OR_RETURN(row.lockstep, side.Run(row.baseline.point.bytes));
  }
  return absl::OkStatus();
}

absl::Status PrintComparison(const CompareFlags& flags, const nccl::Options& options,
                             nccl::Operation collective, const GpuMachine& machine) {
  const auto sizes = ParseMessageSizes(flags.sizes, nccl::kMostBytes);
  if (!sizes.ok()) return AsUsage(sizes.status());
  ASSIGN_OR_RETURN(const auto baseline,
                   RunBaseline(machine.machine, options, collective, flags.gpus, *sizes));
  std::vector<ComparedSize> rows;
  for (const BaselineRow& row : baseline) rows.push_back({std::nullopt, row});
  Channels channels{0, machine.machine.pin_mb_per_s / 1e3};
  if (!flags.baseline_only) RETURN_IF_ERROR(RunOurSide(flags, collective, rows, channels));
  RETURN_IF_ERROR(Print(CompareTable(collective, rows, channels)));
  if (!flags.baseline_only) RETURN_IF_ERROR(Print(CompareSummary(rows, channels)));
  if (flags.csv.empty()) return absl::OkStatus();
  return WriteAtomically(flags.csv, CompareCsv(collective, rows));
}

absl::Status RunCompare(const CompareFlags& flags) {
  const auto collective = nccl::OperationByName(flags.collective);
  if (!collective.ok()) return AsUsage(collective.status());
  const auto options = BaselineOptions(flags);
  if (!options.ok()) return AsUsage(options.status());
  ASSIGN_OR_RETURN(const GpuMachine machine,
                   LoadGpuMachine(flags.baseline, TopologyDir(flags.topology_dir)));
  if (!flags.explain.empty()) {
    const auto bytes = ParseMessageSize(flags.explain, nccl::kMostBytes);
    if (!bytes.ok()) return AsUsage(bytes.status());
    ASSIGN_OR_RETURN(const std::string text,
                     ExplainBaseline(machine, *options, {*collective, *bytes, flags.gpus}));
    return Print(text);
  }
  if (!flags.calibration.empty()) {
    ASSIGN_OR_RETURN(const auto log, LoadNcclLog(flags.calibration, nccl::kMostBytes));
    ASSIGN_OR_RETURN(const std::string text,
                     CalibrationReport(machine, *options, *collective, flags.gpus, log));
    return Print(text);
  }
  return PrintComparison(flags, *options, *collective, machine);
}

}  // namespace

void AddCompareCommand(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<CompareFlags>();
  CLI::App* command = app.add_subcommand(
      "compare", "Collectives of a node beside those of eight GPUs under NCCL (simulated)");
  command->add_option("--collective", flags->collective,
                      "all_reduce, all_gather, reduce_scatter, broadcast, all_to_all, sendrecv");
  CLI::Option* sizes = command->add_option("--sizes", flags->sizes,
                                           "FIRST:LAST:FACTOR, or a list; K, M, G are binary");
  CLI::Option* topology =
      command->add_option("--topology", flags->topology, "Our side: name, or path of a file");
  CLI::Option* check = command->add_option(
      "--check", flags->check, "Our side: check values up to this size (functional engine)");
  command->add_option("--baseline", flags->baseline,
                      "dgx-a100, dgx-h100, a100-pcie, or path of a .textproto file");
  command->add_option("--gpus", flags->gpus, "GPUs of the baseline")
      ->check(CLI::IsMember({2, 4, 8}));
  CLI::Option* only =
      command->add_flag("--baseline-only", flags->baseline_only, "Leave our side out");
  CLI::Option* csv = command->add_option("--csv", flags->csv, "File: one row a size");
  CLI::Option* explain = command->add_option(
      "--explain", flags->explain, "What NCCL chooses for this size, and where the time goes");
  CLI::Option* calibration = command->add_option(
      "--calibration", flags->calibration,
      "Measured times (CSV with bytes,time_us): errors by band, ablation, constants");
  for (CLI::Option* other : {sizes, only, csv, calibration, topology, check}) {
    explain->excludes(other);
    if (other != calibration) calibration->excludes(other);
  }
  only->excludes(check);
  command->add_option("--nccl-version", flags->version, "2.8 to 2.30; else the machine's");
  command
      ->add_option("--launch", flags->launch,
                   "How the baseline's kernels are started: mpi (a process a GPU) or "
                   "one-process (nccl-tests -g N)")
      ->check(CLI::IsMember({"mpi", "one-process"}));
  command->add_option("--algorithm", flags->algorithm, "Force Ring, Tree or NVLS");
  command->add_option("--protocol", flags->protocol, "Force LL, LL128 or Simple");
  command->add_option("--topology-dir", flags->topology_dir, "Folder of <name>.textproto files");
  command->callback([flags, result] { *result = RunCompare(*flags); });
}

}  // namespace lockstep
