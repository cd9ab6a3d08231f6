// `lockstep`: the command line. Each subcommand is registered by one function and leaves a Status.
// Exit codes: launcher/exit_code.h; errors are printed as "lockstep: ...".
#include <CLI/CLI.hpp>
#include <iostream>

#include "absl/status/status.h"
#include "launcher/asm_command.h"
#include "launcher/client/job_commands.h"
#include "launcher/client/report_command.h"
#include "launcher/client/submit_command.h"
#include "launcher/collective_command.h"
#include "launcher/compare_command.h"
#include "launcher/exec_command.h"
#include "launcher/exit_code.h"
#include "launcher/plan_command.h"
#include "launcher/run_command.h"
#include "launcher/topo_command.h"
#include "launcher/validate_command.h"

int main(int argc, char** argv) {
  CLI::App app("Lockstep: a cycle-level emulator of software-scheduled inference chips",
               "lockstep");
  app.require_subcommand(1);
  absl::Status result;
  lockstep::AddAsmCommands(app, &result);
  lockstep::AddCollectiveCommand(app, &result);
  lockstep::AddCompareCommand(app, &result);
  lockstep::AddExecCommand(app, &result);
  lockstep::AddJobCommands(app, &result);
  lockstep::AddPlanCommand(app, &result);
  lockstep::AddReportCommand(app, &result);
  lockstep::AddRunCommand(app, &result);
  lockstep::AddSubmitCommands(app, &result);
  lockstep::AddTopoCommand(app, &result);
  lockstep::AddValidateCommand(app, &result);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // --help is not an error
  }
  if (!result.ok()) std::cerr << "lockstep: " << result.message() << "\n";
  return lockstep::ExitCode(result);
}
