// One voice for all ranks (launcher/rank.h).
#include "launcher/rank.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "launcher/console.h"
#include "launcher/exit_code.h"

namespace lockstep {
namespace {
const char* RankText() { return std::getenv("OMPI_COMM_WORLD_RANK"); }
}  // namespace

bool StartedByMpirun() { return RankText() != nullptr; }

int RankByMpirun() { return StartedByMpirun() ? std::atoi(RankText()) : 0; }

std::optional<int> ParseRankFlags(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = RankByMpirun() == 0 ? app.exit(error) : error.get_exit_code();
    return code == 0 ? 0 : kExitUsage;
  }
  return std::nullopt;
}

int ReportOfRank(const absl::Status& status, int rank) {
  if (!status.ok() && rank == 0) {
    std::fprintf(stderr, "%s%s\n", kChipPrefix, std::string(status.message()).c_str());
  }
  return ExitCode(status);
}

}  // namespace lockstep
