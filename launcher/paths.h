#pragma once
// Where the launcher finds files that come with Lockstep. The only code that reads the environment.

#include <string>

#include "absl/status/statusor.h"

namespace lockstep {

// Folder of the topology files: `flag` if not empty, else $LOCKSTEP_TOPOLOGY_DIR, else the first
// that exists of <executable>/../../../topologies (a build tree) and the source tree's.
std::string TopologyDir(const std::string& flag);

// Path of lockstep-chip, which stands beside this executable. NotFound says where that was.
absl::StatusOr<std::string> ChipExecutable();

}  // namespace lockstep
