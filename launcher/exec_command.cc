// Flags to a machine, its outcome to standard output (launcher/exec_command.h).
#include "launcher/exec_command.h"

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "launcher/asm_command.h"
#include "launcher/console.h"
#include "launcher/exit_code.h"
#include "launcher/paths.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/topology_file.h"
#include "runtime/run/exec.h"

namespace lockstep {
namespace {

struct ExecFlags {
  std::vector<std::string> files, latencies;
  std::string engine = "functional";
  std::string topology = "groqnode", topology_dir;
  std::string hop_latency = std::string(LinkModel::kDefaultPreset);
  int runs = 1;
  bool timeline = false;
};

absl::StatusOr<ExecSetup> Prepare(const ExecFlags& flags) {
  const int chips = static_cast<int>(flags.files.size());
  ASSIGN_OR_RETURN(TopologySpec spec,
                   LoadTopology(flags.topology, TopologyDir(flags.topology_dir)));
  ASSIGN_OR_RETURN(const Topology topology, Topology::Create(std::move(spec)));
  if (chips > topology.num_chips()) {
    return AsUsage(absl::InvalidArgumentError(absl::StrCat(
        chips, " programs, but ", topology.name(), " has ", topology.num_chips(), " chips")));
  }
  ASSIGN_OR_RETURN(const LinkModel links, MakeLinks(topology, flags.hop_latency));
  absl::StatusOr<ChipTiming> timing = MakeTiming(flags.latencies, links);
  if (!timing.ok()) return AsUsage(timing.status());
  ASSIGN_OR_RETURN(Wiring wiring, MakeWiring(topology, chips, links, *timing));
  std::vector<ProgramFile> programs;
  for (const std::string& file : flags.files) {
    ASSIGN_OR_RETURN(programs.emplace_back(), ReadProgramFile(file));
  }
  const EngineKind engine =
      flags.engine == "timing" ? EngineKind::kTiming : EngineKind::kFunctional;
  return ExecSetup{std::move(programs), std::move(wiring), *timing, engine, flags.runs};
}

absl::Status RunExec(const ExecFlags& flags) {
  ASSIGN_OR_RETURN(const ExecSetup setup, Prepare(flags));
  ASSIGN_OR_RETURN(const ExecResult result, Execute(setup));
  if (result.fault) return absl::InternalError(result.fault->ToString());
  std::cout << ExecText(setup, result, flags.timeline);
  return FlushConsole();
}

}  // namespace

void AddExecCommand(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<ExecFlags>();
  CLI::App* exec = app.add_subcommand(
      "exec", "Run programs written by hand, one a chip; show timeline and values");
  exec->add_option("files", flags->files, "Programs, text or binary; the i-th is chip i's")
      ->required();
  exec->add_flag("--timeline", flags->timeline, "Show every run: cycles, queue, instruction");
  exec->add_option("--engine", flags->engine,
                   "functional: values and cycles; timing: cycles only, no values")
      ->check(CLI::IsMember({"functional", "timing"}))
      ->capture_default_str();
  exec->add_option("--runs", flags->runs, "Run this often; SRAM stays from run to run")
      ->check(CLI::Range(1, kMaxExecRuns))
      ->capture_default_str();
  exec->add_option("--topology", flags->topology,
                   "Whose first chips these are: name, or path of a .textproto file")
      ->capture_default_str();
  exec->add_option("--topology-dir", flags->topology_dir, "Folder of <name>.textproto files");
  exec->add_option("--hop-latency", flags->hop_latency, "Preset of the published hop latencies")
      ->check(CLI::IsMember({"A", "B", "C"}))
      ->capture_default_str();
  exec->add_option("--set", flags->latencies, "Latency of `lockstep isa --assumptions`: NAME=VALUE")
      ->expected(1)
      ->take_all();
  exec->callback([flags, result] { *result = RunExec(*flags); });
}

}  // namespace lockstep
