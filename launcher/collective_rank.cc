// Joins MPI, runs this rank's chips (launcher/collective_rank.h).
#include "launcher/collective_rank.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/counted.h"
#include "fabric/mpi_fabric.h"
#include "fabric/mpi_session.h"
#include "launcher/collective_flags.h"
#include "launcher/console.h"
#include "launcher/exit_code.h"
#include "launcher/packing.h"
#include "launcher/rank.h"
#include "runtime/files/table_row.h"

namespace lockstep {
namespace {

int Hosts(const MpiSession& session) {
  return static_cast<int>(std::set<int>(session.host_of().begin(), session.host_of().end()).size());
}

absl::Status RunAsRank(const MpiSession& session, const Packing& packing, CollectiveFlags& flags) {
  const absl::StatusOr<Topology> topology = TakeTopology(&flags);
  RETURN_IF_ERROR(session.AgreeOnStatus(topology.status()));
  const int each = ChipsPerRank(packing, topology->num_chips(), session.size());
  const auto outcome = RunCollective(
      *topology, flags.request, [&](Wiring wiring) -> absl::StatusOr<std::unique_ptr<Transport>> {
        return MpiFabric::Create(session, std::move(wiring),
                                 {.chips_per_rank = static_cast<uint32_t>(each)});
      });
  if (session.rank() != 0) return outcome.status();
  RETURN_IF_ERROR(ShowCollective(flags, outcome));
  const int hosts = Hosts(session);
  const std::string ranks =
      Row("ranks", absl::StrCat(session.size(), " on ", Counted(hosts, "host"), ", ",
                                Counted(each, "chip"), " each"));
  std::fputs(ranks.c_str(), stdout);
  return std::fflush(stdout) == 0 ? absl::OkStatus()
                                  : absl::DataLossError("cannot write to standard output");
}

}  // namespace

int CollectiveAsRank(int argc, char** argv) {
  CLI::App app(
      "One MPI rank of a collective:\n  mpirun --oversubscribe --bind-to none --mca pml ob1 "
      "-n 72 lockstep-chip collective --topology groqrack --bytes 320",
      "lockstep-chip collective");
  CollectiveFlags flags;
  AddCollectiveFlags(app, &flags);
  if (const std::optional<int> code = ParseRankFlags(app, argc, argv)) return *code;
  const absl::StatusOr<Packing> packing = ParsePacking(flags.chips_per_rank);
  if (!packing.ok()) return ReportOfRank(AsUsage(packing.status()), RankByMpirun());
  const absl::StatusOr<std::unique_ptr<MpiSession>> session = MpiSession::Init(&argc, &argv);
  if (!session.ok()) return ReportOfRank(session.status(), RankByMpirun());
  return ReportOfRank(RunAsRank(**session, *packing, flags), (*session)->rank());
}

}  // namespace lockstep
