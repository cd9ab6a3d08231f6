// `lockstep-job`: the process between lockstepd and a job's command (runtime/jobs/guard.h). Only
// lockstepd starts it; descriptor 3 takes the verdict.
#include <CLI/CLI.hpp>

#include "runtime/jobs/guard.h"

int main(int argc, char** argv) {
  lockstep::GuardOptions options;
  CLI::App app("Runs a command of a job within limits; nothing of it outlives this process",
               "lockstep-job");
  app.add_option("--seconds", options.seconds)->required()->check(CLI::PositiveNumber);
  app.add_option("--memory-bytes", options.memory_bytes)->required()->check(CLI::PositiveNumber);
  app.add_option("--output-bytes", options.output_bytes)->required()->check(CLI::PositiveNumber);
  app.add_option("--parent", options.parent, "Process whose death ends the job")->required();
  app.add_option("--stdout-file", options.stdout_file, "Takes the command's standard output");
  app.add_option("command", options.command, "After --: program and arguments")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return lockstep::RunGuard(options);
}
