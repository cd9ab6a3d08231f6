// One line of help for each flag (launcher/compare_flags.h).
#include "launcher/compare_flags.h"

namespace lockstep {

void AddCompareFlags(CLI::App& app, CompareFlags* flags) {
  app.add_option("--collective", flags->collectives,
                 "all_reduce, all_gather, reduce_scatter, broadcast, all_to_all, sendrecv; several "
                 "with commas between")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--sizes", flags->sizes, "FIRST:LAST:FACTOR, or a list; K, M, G are binary")
      ->capture_default_str();
  CLI::Option* topology = app.add_option("--topology", flags->topology, "Our side")
                              ->capture_default_str();
  CLI::Option* check = app.add_option(
      "--check", flags->check,
      "Our side: check values up to this size (functional engine; default 64K)");
  app.add_option("--baseline", flags->baseline, "dgx-a100, dgx-h100, a100-pcie")
      ->capture_default_str();
  app.add_option("--gpus", flags->gpus, "GPUs of the baseline")
      ->check(CLI::IsMember({2, 4, 8}))
      ->capture_default_str();
  app.add_flag("--baseline-only", flags->baseline_only, "Leave our side out")
      ->excludes(topology)
      ->excludes(check);
  app.add_option("--nccl-version", flags->version, "2.8 to 2.30; else the machine's");
  app.add_option("--launch", flags->launch,
                 "How the baseline's kernels are started: mpi (a process a GPU; default) or "
                 "one-process (nccl-tests -g N)")
      ->check(CLI::IsMember({"mpi", "one-process"}));
  app.add_option("--algorithm", flags->algorithm, "Force Ring, Tree or NVLS");
  app.add_option("--protocol", flags->protocol, "Force LL, LL128 or Simple");
}

}  // namespace lockstep
