// Checks a run in full, then starts it (launcher/run_command.h).
#include "launcher/run_command.h"

#include <iostream>
#include <memory>
#include <utility>

#include "chip/check.h"
#include "fabric/local_fabric.h"
#include "launcher/console.h"
#include "launcher/exit_code.h"
#include "launcher/mpirun.h"
#include "launcher/packing.h"
#include "launcher/paths.h"
#include "launcher/run_flags.h"
#include "runtime/files/host.h"
#include "runtime/run/run_setup.h"

namespace lockstep {
namespace {

constexpr char kHelp[] =
    "Run a model on an emulated topology.\n"
    "With --transport mpi this starts `mpirun -n RANKS lockstep-chip ...`; by hand the same is\n"
    "  mpirun --oversubscribe --bind-to none --mca pml ob1 -n 8 lockstep-chip \\\n"
    "    --topology groqnode --model DIR --prompt TEXT --tokens N\n"
    "also with --hostfile FILE. As root, mpirun itself asks for --allow-run-as-root; "
    "`lockstep run` adds it.";

// What shows the steps of a run; empty: nothing does.
std::function<void(int, int)> Progress(const RunOptions& options) {
  if (options.progress) return PrintProgress;
  if (WantsProgress(options)) return DrawProgress;
  return nullptr;
}

void ClearProgress(const RunOptions& options) {
  if (!options.progress && WantsProgress(options)) DrawProgress(0, 0);
}

absl::Status RunLocally(const RunSetup& setup) {
  ASSIGN_OR_RETURN(const std::unique_ptr<LocalFabric> fabric,
                   LocalFabric::Create(setup.wiring, setup.options.threads.value_or(1)));
  const absl::Status status =
      RunProcess(setup, *fabric, ConsoleView(setup.options, Progress(setup.options)));
  if (!status.ok()) ClearProgress(setup.options);
  RETURN_IF_ERROR(status);
  return FlushConsole();
}

absl::Status RunOverMpi(const RunSetup& setup, const std::string& topology_dir) {
  ASSIGN_OR_RETURN(std::string program, ChipExecutable());
  MpirunJob job;
  job.program = std::move(program);
  RunOptions options = setup.options;
  if (options.pack_chips) {
    const int cores = HostCores();
    options.chips_per_rank = ChipsPerRank({std::nullopt}, setup.chips(), cores);
    options.pack_chips = false;
    if (!options.quiet) {
      std::cerr << "lockstep: " << DescribePacking(setup.chips(), *options.chips_per_rank, cores)
                << "\n";
    }
  }
  const int each = options.chips_per_rank.value_or(1);
  job.ranks = (setup.chips() + each - 1) / each;
  // Ids pass through any shell and launcher as they are, which an empty or odd text may not.
  options.prompt.reset();
  options.prompt_ids = setup.prompt_ids;
  // The ranks look where this process looked.
  options.topology_dir = topology_dir;
  job.progress = Progress(options);
  options.progress = job.progress != nullptr;
  job.arguments = RankArguments(options);
  const absl::Status status = RunMpirun(job);
  if (!status.ok()) ClearProgress(setup.options);
  return status;
}

absl::Status RunCommand(const RunFlags& flags) {
  ASSIGN_OR_RETURN(const RunOptions options, TakeOptions(flags));
  const std::string topology_dir = TopologyDir(options.topology_dir);
  ASSIGN_OR_RETURN(RunSetup setup, PrepareRun(options, topology_dir));
  // An error of every rank is better found, and said, once.
  RETURN_IF_ERROR(VerifyRun(&setup));
  if (options.transport == TransportKind::kLocal) return RunLocally(setup);
  return RunOverMpi(setup, topology_dir);
}

}  // namespace

void AddRunCommand(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<RunFlags>();
  CLI::App* run = app.add_subcommand("run", kHelp);
  AddRunFlags(*run, flags.get());
  AddTransportFlags(*run, flags.get());
  run->callback([flags, result] { *result = RunCommand(*flags); });
}

}  // namespace lockstep
