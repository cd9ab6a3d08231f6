// `lockstep collective` (launcher/collective_command.h); the work is in
// runtime/collectives/collective_run.h.
#include "launcher/collective_command.h"

#include <iostream>
#include <memory>
#include <string>

#include "chip/check.h"
#include "launcher/collective_flags.h"
#include "launcher/exit_code.h"
#include "launcher/mpirun.h"
#include "launcher/packing.h"
#include "launcher/paths.h"
#include "runtime/files/host.h"

namespace lockstep {
namespace {

absl::Status OverMpi(const CollectiveFlags& flags, const Packing& packing, int chips) {
  const int cores = HostCores();
  const int each = ChipsPerRank(packing, chips, cores);
  if (!packing.chips_per_rank) {
    std::cerr << "lockstep: " << DescribePacking(chips, each, cores) << "\n";
  }
  MpirunJob job;
  ASSIGN_OR_RETURN(job.program, ChipExecutable());
  job.ranks = (chips + each - 1) / each;
  job.arguments = CollectiveArguments(flags, each);
  job.arguments.insert(job.arguments.begin(), "collective");
  return RunMpirun(job);
}

absl::Status RunCollectiveCommand(CollectiveFlags& flags, bool mpi, bool packed) {
  if (packed && !mpi) {
    return AsUsage(
        absl::InvalidArgumentError("--chips-per-rank has no effect with --transport local"));
  }
  const absl::StatusOr<Packing> packing = ParsePacking(flags.chips_per_rank);
  if (!packing.ok()) return AsUsage(packing.status());
  ASSIGN_OR_RETURN(const Topology topology, TakeTopology(&flags));
  if (mpi) return OverMpi(flags, *packing, topology.num_chips());
  return ShowCollective(flags, RunCollective(topology, flags.request));
}

}  // namespace

void AddCollectiveCommand(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<CollectiveFlags>();
  const auto transport = std::make_shared<std::string>("local");
  CLI::App* command =
      app.add_subcommand("collective", "Run a collective over all chips of a topology");
  AddCollectiveFlags(*command, flags.get());
  command
      ->add_option("--transport", *transport,
                   "local: all chips in this process; mpi: starts mpirun with ranks of "
                   "--chips-per-rank chips (`lockstep-chip collective` by hand)")
      ->check(CLI::IsMember({"mpi", "local"}))
      ->capture_default_str();
  command->callback([flags, transport, command, result] {
    *result =
        RunCollectiveCommand(*flags, *transport == "mpi", command->count("--chips-per-rank") > 0);
  });
}

}  // namespace lockstep
