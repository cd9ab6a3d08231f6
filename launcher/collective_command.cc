// Options and table of `lockstep collective`; the work is in runtime/collective_run.h.
#include "launcher/collective_command.h"

#include <sys/resource.h>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "chip/check.h"
#include "launcher/exit_code.h"
#include "launcher/paths.h"
#include "runtime/collective_run.h"
#include "runtime/topology_file.h"

namespace lockstep {
namespace {

struct CollectiveFlags {
  CollectiveRequest request;
  std::string kind = "all_reduce", engine = "timing", algorithm = "auto", topology, topology_dir;
  std::optional<int> chips;
};

const char* Name(CollectiveAlgorithm algorithm) {
  switch (algorithm) {
    case CollectiveAlgorithm::kAuto: return "auto";
    case CollectiveAlgorithm::kNode: return "node";
    case CollectiveAlgorithm::kTrees: return "trees";
    case CollectiveAlgorithm::kExchange: return "exchange";
  }
  return "";
}

CollectiveAlgorithm AlgorithmByName(const std::string& name) {
  for (const auto a : {CollectiveAlgorithm::kNode, CollectiveAlgorithm::kTrees,
                       CollectiveAlgorithm::kExchange}) {
    if (name == Name(a)) return a;
  }
  return CollectiveAlgorithm::kAuto;
}

std::string Row(const char* label, const std::string& text) {
  return absl::StrFormat("  %-22s%s\n", label, text);
}

std::string Table(const CollectiveFlags& flags, const CollectiveOutcome& o) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::string out = absl::StrFormat("%s of %d B on %s, %d chips\n", flags.kind, o.bytes,
                                    o.topology, o.chips);
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
  out += Row("memory", absl::StrFormat("%.1f MiB at most",
                                       static_cast<double>(usage.ru_maxrss) / 1024));
  out += Row("digests", absl::StrFormat("timing %016x", o.timing_digest) +
                            (o.value_digest == 0 ? std::string()
                                                 : absl::StrFormat(", values %016x",
                                                                   o.value_digest)));
  if (o.value_digest == 0) return out;
  const bool sums = o.kind == CollectiveKind::kAllReduce ||
                    o.kind == CollectiveKind::kReduceScatter;
  return out + Row("values", sums ? absl::StrFormat("checked against double precision, error "
                                                    "at most %.2g of the sum of magnitudes%s",
                                                    o.max_error,
                                                    o.kind == CollectiveKind::kAllReduce
                                                        ? "; bit-equal on all chips" : "")
                                  : std::string("exact on all chips"));
}

absl::Status RunCollectiveCommand(CollectiveFlags& flags) {
  const auto kind = CollectiveByName(absl::StrReplaceAll(flags.kind, {{"_", "-"}}));
  if (!kind.ok()) return AsUsage(kind.status());
  flags.request.kind = *kind;
  flags.request.engine =
      flags.engine == "timing" ? EngineKind::kTiming : EngineKind::kFunctional;
  flags.request.algorithm = AlgorithmByName(flags.algorithm);
  auto spec = LoadTopology(flags.topology, TopologyDir(flags.topology_dir));
  if (!spec.ok()) return AsUsage(spec.status());
  ASSIGN_OR_RETURN(Topology topology, Topology::Create(*std::move(spec)));
  if (flags.chips) {
    auto part = topology.Subset(*flags.chips);
    if (!part.ok()) return AsUsage(part.status());
    topology = *std::move(part);
  }
  const auto outcome = RunCollective(topology, flags.request);
  if (!outcome.ok()) {
    return absl::IsInternal(outcome.status()) ? outcome.status() : AsUsage(outcome.status());
  }
  std::cout << Table(flags, *outcome) << std::flush;
  return std::cout ? absl::OkStatus() : absl::DataLossError("cannot write to standard output");
}

}  // namespace

void AddCollectiveCommand(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<CollectiveFlags>();
  CLI::App* command =
      app.add_subcommand("collective", "Run a collective over all chips of a topology");
  command
      ->add_option("--kind", flags->kind,
                   "all_reduce, reduce_scatter, all_gather, broadcast, all_to_all")
      ->capture_default_str();
  command->add_option("--topology", flags->topology, "Name, or path of a .textproto file")
      ->required();
  command->add_option("--topology-dir", flags->topology_dir, "Folder of <name>.textproto files");
  command->add_option("--chips", flags->chips, "Only the first N chips (default: all)");
  command->add_option("--bytes", flags->request.bytes, "Of the whole message, 4 an fp32 element")
      ->required();
  command
      ->add_option("--engine", flags->engine,
                   "timing: cycles only; functional: values too, which are checked")
      ->check(CLI::IsMember({"functional", "timing"}))
      ->capture_default_str();
  command->add_option("--hop-latency", flags->request.hop_latency,
                      "Preset of the published hop latencies")
      ->check(CLI::IsMember({"A", "B", "C"}))
      ->capture_default_str();
  command
      ->add_option("--algorithm", flags->algorithm,
                   "node: one fully connected node; trees: an owner a word; exchange: all chips add "
                   "all sums; auto: what takes fewer cycles")
      ->check(CLI::IsMember({"auto", "node", "trees", "exchange"}))
      ->capture_default_str();
  command
      ->add_option("--set", flags->request.latencies,
                   "Latency of `lockstep isa --assumptions`: NAME=VALUE")
      ->take_all();
  command->callback([flags, result] { *result = RunCollectiveCommand(*flags); });
}

}  // namespace lockstep
