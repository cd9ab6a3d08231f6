// Flags and table of collectives (launcher/collective_flags.h).
#include "launcher/collective_flags.h"

#include <sys/resource.h>

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "chip/check.h"
#include "launcher/exit_code.h"
#include "launcher/paths.h"
#include "runtime/collectives/collective_report.h"
#include "runtime/files/atomic_file.h"
#include "runtime/files/table_row.h"
#include "runtime/machine/topology_file.h"

namespace lockstep {
namespace {

std::string Table(const CollectiveFlags& flags, const CollectiveOutcome& o) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::string out =
      absl::StrFormat("%s of %d B on %s, %d chips\n", flags.kind, o.bytes, o.topology, o.chips);
  out += Row("algorithm", absl::StrCat(Name(o.algorithm), ", ", o.programs, " programs"));
  out += Row("message", absl::StrFormat("%d B with padding; SRAM of a chip %d B", o.padded_bytes,
                                        o.sram_bytes));
  out += Row("links", o.links);
  out += Row("cycles", absl::StrFormat("%d = %.3f us", o.cycles, o.Microseconds()));
  out += Row("bandwidth", absl::StrFormat("algbw %.3f GB/s, busbw %.3f GB/s",
                                          o.AlgorithmBandwidth(), o.BusBandwidth()));
  out += Row("vectors", absl::StrFormat("%d over links, which are busy %.2f %% of the time",
                                        o.vectors, 100 * o.link_share));
  out += Row("wall time", absl::StrFormat("%.3f s: compile %.3f, verify %.3f, run %.3f",
                                          o.compile_seconds + o.verify_seconds + o.run_seconds,
                                          o.compile_seconds, o.verify_seconds, o.run_seconds));
  out += Row("memory",
             absl::StrFormat("%.1f MiB at most", static_cast<double>(usage.ru_maxrss) / 1024));
  out +=
      Row("digests", absl::StrFormat("timing %016x", o.timing_digest) +
                         (o.value_digest == 0 ? std::string()
                                              : absl::StrFormat(", values %016x", o.value_digest)));
  if (o.value_digest == 0) return out;
  const bool sums =
      o.kind == CollectiveKind::kAllReduce || o.kind == CollectiveKind::kReduceScatter;
  return out + Row("values", sums ? absl::StrFormat("checked against double precision, error "
                                                    "at most %.2g of the sum of magnitudes%s",
                                                    o.max_error,
                                                    o.kind == CollectiveKind::kAllReduce
                                                        ? "; bit-equal on all chips"
                                                        : "")
                                  : std::string("exact on all chips"));
}

}  // namespace

void AddCollectiveFlags(CLI::App& app, CollectiveFlags* flags) {
  CollectiveRequest& request = flags->request;
  app.add_option("--kind", flags->kind,
                 "all_reduce, reduce_scatter, all_gather, broadcast, all_to_all, sendrecv")
      ->capture_default_str();
  app.add_option("--topology", flags->topology, "Name, or path of a .textproto file")->required();
  app.add_option("--topology-dir", flags->topology_dir, "Folder of <name>.textproto files");
  app.add_option("--chips", flags->chips, "Only the first N chips (default: all)");
  app.add_option("--bytes", request.bytes, "Of the whole message, 4 an fp32 element")->required();
  app.add_option("--engine", flags->engine,
                 "timing: cycles only; functional: values too, which are checked")
      ->check(CLI::IsMember({"functional", "timing"}))
      ->capture_default_str();
  app.add_option("--hop-latency", request.hop_latency, "Preset of the published hop latencies")
      ->check(CLI::IsMember({"A", "B", "C"}))
      ->capture_default_str();
  app.add_option("--algorithm", flags->algorithm,
                 "trees: an owner a word; exchange: all chips add all sums; relay: chip 0 hands words "
                 "to others, which spread them; routes: no sums; auto: what takes fewer cycles")
      ->check(CLI::IsMember({"auto", "trees", "exchange", "relay", "routes"}))
      ->capture_default_str();
  app.add_option("--report", flags->report, "File: all figures as JSON");
  app.add_option("--links", flags->links, "File: vectors and share of time of each link, as CSV");
  app.add_option("--set", request.latencies, "Latency of `lockstep isa --assumptions`: NAME=VALUE")
      ->take_all();
  app.add_option(
         "--chips-per-rank", flags->chips_per_rank,
         "Chips that one MPI rank runs, or auto: over mpirun the cores decide, in a rank the "
         "number of ranks")
      ->capture_default_str();
}

absl::StatusOr<Topology> TakeTopology(CollectiveFlags* flags) {
  const auto kind = CollectiveByName(absl::StrReplaceAll(flags->kind, {{"_", "-"}}));
  if (!kind.ok()) return AsUsage(kind.status());
  flags->request.kind = *kind;
  flags->request.link_table = !flags->links.empty();
  flags->request.engine = flags->engine == "timing" ? EngineKind::kTiming : EngineKind::kFunctional;
  const auto algorithm = AlgorithmByName(flags->algorithm);
  if (!algorithm.ok()) return AsUsage(algorithm.status());
  flags->request.algorithm = *algorithm;
  auto spec = LoadTopology(flags->topology, TopologyDir(flags->topology_dir));
  if (!spec.ok()) return AsUsage(spec.status());
  ASSIGN_OR_RETURN(Topology topology, Topology::Create(*std::move(spec)));
  if (!flags->chips) return topology;
  auto part = topology.Subset(*flags->chips);
  if (!part.ok()) return AsUsage(part.status());
  return part;
}

std::vector<std::string> CollectiveArguments(const CollectiveFlags& flags, int chips_per_rank) {
  std::vector<std::string> out;
  const auto add = [&out](const char* name, const std::string& value) {
    out.push_back(absl::StrCat(name, "=", value));
  };
  add("--kind", flags.kind);
  add("--topology", flags.topology);
  add("--topology-dir", TopologyDir(flags.topology_dir));
  if (flags.chips) add("--chips", absl::StrCat(*flags.chips));
  add("--bytes", absl::StrCat(flags.request.bytes));
  add("--engine", flags.engine);
  add("--hop-latency", flags.request.hop_latency);
  add("--algorithm", flags.algorithm);
  for (const std::string& latency : flags.request.latencies) add("--set", latency);
  if (!flags.report.empty()) add("--report", flags.report);
  if (!flags.links.empty()) add("--links", flags.links);
  add("--chips-per-rank", absl::StrCat(chips_per_rank));
  return out;
}

absl::Status ShowCollective(const CollectiveFlags& flags,
                            const absl::StatusOr<CollectiveOutcome>& outcome) {
  if (!outcome.ok()) {
    return absl::IsInternal(outcome.status()) ? outcome.status() : AsUsage(outcome.status());
  }
  if (!flags.report.empty()) {
    RETURN_IF_ERROR(WriteAtomically(flags.report, CollectiveJson(*outcome)));
  }
  if (!flags.links.empty()) RETURN_IF_ERROR(WriteAtomically(flags.links, outcome->link_table));
  std::cout << Table(flags, *outcome) << std::flush;
  return std::cout ? absl::OkStatus() : absl::DataLossError("cannot write to standard output");
}

}  // namespace lockstep
