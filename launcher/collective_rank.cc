// Joins MPI, runs this rank's chips (launcher/collective_rank.h).
#include "launcher/collective_rank.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>

#include "chip/check.h"
#include "fabric/mpi_fabric.h"
#include "fabric/mpi_session.h"
#include "launcher/collective_flags.h"
#include "launcher/console.h"
#include "launcher/exit_code.h"
#include "launcher/packing.h"

namespace lockstep {
namespace {

int Hosts(const MpiSession& session) {
  return static_cast<int>(
      std::set<int>(session.host_of().begin(), session.host_of().end()).size());
}

absl::Status RunAsRank(const MpiSession& session, const Packing& packing,
                       CollectiveFlags& flags) {
  const absl::StatusOr<Topology> topology = TakeTopology(&flags);
  RETURN_IF_ERROR(session.AgreeOnStatus(topology.status()));
  const int each = ChipsPerRank(packing, topology->num_chips(), session.size());
  const auto outcome = RunCollective(
      *topology, flags.request,
      [&](Wiring wiring) -> absl::StatusOr<std::unique_ptr<Transport>> {
        return MpiFabric::Create(session, std::move(wiring),
                                 {.chips_per_rank = static_cast<uint32_t>(each)});
      });
  if (session.rank() != 0) return outcome.status();
  RETURN_IF_ERROR(ShowCollective(flags, outcome));
  const int hosts = Hosts(session);
  std::printf("  %-22s%d on %d host%s, %d chips each\n", "ranks", session.size(), hosts,
              hosts == 1 ? "" : "s", each);
  return std::fflush(stdout) == 0 ? absl::OkStatus()
                                  : absl::DataLossError("cannot write to standard output");
}

int Report(const absl::Status& status, int rank) {
  if (!status.ok() && rank == 0) {
    std::fprintf(stderr, "%s%s\n", kChipPrefix, std::string(status.message()).c_str());
  }
  return ExitCode(status);
}

}  // namespace

int CollectiveAsRank(int argc, char** argv) {
  CLI::App app(
      "One MPI rank of a collective:\n  mpirun --oversubscribe --bind-to none --mca pml ob1 "
      "-n 72 lockstep-chip collective --topology groqrack --bytes 320",
      "lockstep-chip collective");
  CollectiveFlags flags;
  AddCollectiveFlags(app, &flags);
  const char* rank_text = std::getenv("OMPI_COMM_WORLD_RANK");
  const int rank = rank_text == nullptr ? 0 : std::atoi(rank_text);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = rank == 0 ? app.exit(error) : error.get_exit_code();
    return code == 0 ? 0 : 2;
  }
  const absl::StatusOr<Packing> packing = ParsePacking(flags.chips_per_rank);
  if (!packing.ok()) return Report(AsUsage(packing.status()), rank);
  const absl::StatusOr<std::unique_ptr<MpiSession>> session = MpiSession::Init(&argc, &argv);
  if (!session.ok()) return Report(session.status(), rank);
  return Report(RunAsRank(**session, *packing, flags), (*session)->rank());
}

}  // namespace lockstep
