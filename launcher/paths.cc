// Search for the files beside the executable.
#include "launcher/paths.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace lockstep {

std::string TopologyDir(const std::string& flag) {
  namespace fs = std::filesystem;
  if (!flag.empty()) return flag;
  if (const char* folder = std::getenv("LOCKSTEP_TOPOLOGY_DIR"); folder && *folder) return folder;
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path beside = (executable.parent_path() / "../../../topologies").lexically_normal();
    if (fs::is_directory(beside, error)) return beside.string();
  }
  return LOCKSTEP_SOURCE_DIR "/topologies";
}

absl::StatusOr<std::string> ChipExecutable() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const fs::path chip = self.parent_path() / "lockstep-chip";
  if (!error && fs::exists(chip, error)) return chip.string();
  return absl::NotFoundError("no executable " + chip.string() + "; it is built with lockstep");
}

}  // namespace lockstep
