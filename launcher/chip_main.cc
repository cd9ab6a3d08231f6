// `lockstep-chip`: one MPI rank of a run. `lockstep run` starts it through mpirun; Slurm, own
// scripts and host files can start it the same way. Only rank 0 speaks. Exit codes:
// launcher/exit_code.h.
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "chip/check.h"
#include "fabric/mpi_fabric.h"
#include "fabric/mpi_session.h"
#include "launcher/collective_rank.h"
#include "launcher/console.h"
#include "launcher/packing.h"
#include "launcher/paths.h"
#include "launcher/rank.h"
#include "launcher/run_flags.h"
#include "runtime/run/run.h"

namespace lockstep {
namespace {

constexpr char kHelp[] =
    "One MPI rank of an emulated run. Start it through mpirun, a rank a chip:\n"
    "  mpirun --oversubscribe --bind-to none --mca pml ob1 -n 8 lockstep-chip \\\n"
    "    --topology groqnode --model DIR --prompt TEXT --tokens N\n"
    "A host file works (--hostfile FILE). As root add --allow-run-as-root, without which mpirun "
    "refuses.";

// A rank whose mpirun was killed must not stay behind.
void DieWithMpirun() {
  if (!StartedByMpirun()) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() == 1) std::_Exit(1);
}

// Where a host holds hundreds of ranks, what each frees goes back to the host at once; left to
// itself, the allocator keeps more and more of it the larger the blocks were.
void KeepLittleOfWhatIsFreed() {
  constexpr int kBytes = 128 << 10;
  mallopt(M_MMAP_THRESHOLD, kBytes);
  mallopt(M_TRIM_THRESHOLD, kBytes);
}

absl::StatusOr<RunSetup> Prepare(const RunOptions& options) {
  return PrepareRun(options, TopologyDir(options.topology_dir));
}

absl::Status RunAsRank(const MpiSession& session, const RunOptions& options) {
  absl::StatusOr<RunSetup> setup = Prepare(options);
  RETURN_IF_ERROR(session.AgreeOnStatus(setup.status()));
  if (options.pack_chips) {
    setup->options.chips_per_rank = ChipsPerRank({std::nullopt}, setup->chips(), session.size());
  }
  ASSIGN_OR_RETURN(
      const std::unique_ptr<MpiFabric> fabric,
      MpiFabric::Create(session, setup->wiring,
                        {.chips_per_rank = static_cast<uint32_t>(setup->chips_per_rank())}));
  std::function<void(int, int)> progress;
  if (options.progress) progress = PrintProgress;
  RETURN_IF_ERROR(RunProcess(*setup, *fabric, ConsoleView(options, progress)));
  return FlushConsole();
}

// Started by hand, it can still say how many ranks are needed.
absl::StatusOr<std::unique_ptr<MpiSession>> Join(const RunOptions& options, int* argc,
                                                 char*** argv) {
  int ranks = 0;
  if (!MpiSession::StartedAsRank()) {
    ASSIGN_OR_RETURN(const RunSetup setup, Prepare(options));
    ranks = setup.ranks();
  }
  return MpiSession::Init(argc, argv, ranks);
}

int Main(int argc, char** argv) {
  DieWithMpirun();
  KeepLittleOfWhatIsFreed();
  if (argc > 1 && std::strcmp(argv[1], "collective") == 0) {
    argv[1] = argv[0];
    return CollectiveAsRank(argc - 1, argv + 1);
  }
  CLI::App app(kHelp, "lockstep-chip");
  RunFlags flags;
  AddRunFlags(app, &flags);
  if (const std::optional<int> code = ParseRankFlags(app, argc, argv)) return *code;
  const absl::StatusOr<RunOptions> options = TakeOptions(flags);
  if (!options.ok()) return ReportOfRank(options.status(), RankByMpirun());
  const absl::StatusOr<std::unique_ptr<MpiSession>> session = Join(*options, &argc, &argv);
  if (!session.ok()) return ReportOfRank(session.status(), RankByMpirun());
  return ReportOfRank(RunAsRank(**session, *options), (*session)->rank());
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::Main(argc, argv); }
