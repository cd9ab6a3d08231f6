// Search for the files beside the executable.
#include "launcher/paths.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace lockstep {

namespace {

namespace fs = std::filesystem;

// `name` of the source tree that this executable was built in, or else of the one it was built from.
std::string OfTree(const char* name) {
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path beside = (executable.parent_path() / "../../.." / name).lexically_normal();
    if (fs::is_directory(beside, error)) return beside.string();
  }
  return std::string(LOCKSTEP_SOURCE_DIR "/") + name;
}

}  // namespace

std::string TopologyDir(const std::string& flag) {
  if (!flag.empty()) return flag;
  if (const char* folder = std::getenv("LOCKSTEP_TOPOLOGY_DIR"); folder && *folder) return folder;
  return OfTree("topologies");
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string ModelDir() { return OfTree("models"); }

absl::StatusOr<std::string> BesideThis(const std::string& name) {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const fs::path other = self.parent_path() / name;
  if (!error && fs::exists(other, error)) return other.string();
  return absl::NotFoundError("no executable " + other.string() + "; it is built with lockstep");
}

absl::StatusOr<std::string> ChipExecutable() { return BesideThis("lockstep-chip"); }

}  // namespace lockstep
