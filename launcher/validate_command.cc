// Options of `lockstep validate`; the figures are in runtime/validation/validate.h.
#include "launcher/validate_command.h"

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "chip/check.h"
#include "launcher/exit_code.h"
#include "launcher/paths.h"
#include "runtime/files/atomic_file.h"
#include "runtime/machine/machine.h"
#include "runtime/validation/publications.h"
#include "runtime/validation/validate.h"

namespace lockstep {
namespace {

struct ValidateFlags {
  std::string only, json, topology_dir;
  std::vector<std::string> latencies;
  int scale = 0;
  bool publications = false;
};

absl::Status PrintSweep(const ValidationOptions& options, int percent,
                        const std::vector<ValidationRow>& nominal) {
  ValidationOptions scaled = options;
  scaled.timing = options.timing.Scaled(100 - percent);
  ASSIGN_OR_RETURN(const auto low, Validate(scaled));
  scaled.timing = options.timing.Scaled(100 + percent);
  ASSIGN_OR_RETURN(const auto high, Validate(scaled));
  std::cout << "\nAssumed latencies scaled:\n\n" << SensitivityTable(percent, low, nominal, high);
  return absl::OkStatus();
}

// Programs of publications without a published figure to judge by: what came out, and nothing else.
absl::Status PrintPublications(const ValidateFlags& flags) {
  if (!flags.only.empty() || !flags.json.empty() || flags.scale != 0) {
    return AsUsage(absl::InvalidArgumentError(
        "--only, --json and --scale have no effect with --publications"));
  }
  const auto timing = SetLatencies(ChipTiming::Default(), flags.latencies);
  if (!timing.ok()) return AsUsage(timing.status());
  const std::string topologies = TopologyDir(flags.topology_dir);
  ASSIGN_OR_RETURN(auto rows, RunPublications(topologies, *timing));
  ASSIGN_OR_RETURN(const auto encoders,
                   RunEncoderPipelines(BertLarge(), kBertLargeLayers, topologies, *timing));
  rows.insert(rows.end(), encoders.begin(), encoders.end());
  std::cout << PublicationTable(rows) << std::flush;
  return std::cout ? absl::OkStatus() : absl::DataLossError("cannot write to standard output");
}

absl::Status RunValidate(const ValidateFlags& flags) {
  if (flags.publications) return PrintPublications(flags);
  ValidationOptions options;
  options.topology_dir = TopologyDir(flags.topology_dir);
  if (!flags.only.empty()) options.only = absl::StrSplit(flags.only, ',');
  auto timing = SetLatencies(ChipTiming::Default(), flags.latencies);
  if (!timing.ok()) return AsUsage(timing.status());
  options.timing = *timing;
  auto rows = Validate(options);
  if (!rows.ok()) {
    return absl::IsInvalidArgument(rows.status()) ? AsUsage(rows.status()) : rows.status();
  }
  std::cout << ValidationTable(*rows);
  if (flags.scale != 0) RETURN_IF_ERROR(PrintSweep(options, flags.scale, *rows));
  std::cout << std::flush;
  if (!std::cout) return absl::DataLossError("cannot write to standard output");
  if (!flags.json.empty()) RETURN_IF_ERROR(WriteAtomically(flags.json, ValidationJson(*rows)));
  if (AnyFails(*rows)) return absl::FailedPreconditionError("a published figure is not met");
  return absl::OkStatus();
}

}  // namespace

void AddValidateCommand(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<ValidateFlags>();
  CLI::App* command =
      app.add_subcommand("validate", "Measure the machine's published figures and compare");
  command->add_option("--only", flags->only, "Figures: V5,V7");
  command->add_option("--json", flags->json, "File: the rows as JSON");
  command
      ->add_option("--set", flags->latencies, "Latency of `lockstep isa --assumptions`: NAME=VALUE")
      ->take_all();
  command
      ->add_option("--scale", flags->scale,
                   "Also with all assumed latencies this many percent lower and higher")
      ->check(CLI::Range(1, 99));
  command->add_flag("--publications", flags->publications,
                    "Instead: programs of publications that state no figure to judge by");
  command->add_option("--topology-dir", flags->topology_dir, "Folder of <name>.textproto files");
  command->callback([flags, result] { *result = RunValidate(*flags); });
}

}  // namespace lockstep
