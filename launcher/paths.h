#pragma once
// Where the launcher finds files that come with Lockstep. The only code that reads the environment.

#include <string>

#include "absl/status/statusor.h"

namespace lockstep {

// Folder of the topology files: `flag` if not empty, else $LOCKSTEP_TOPOLOGY_DIR, else the first
// that exists of <executable>/../../../topologies (a build tree) and the source tree's.
std::string TopologyDir(const std::string& flag);

// Value of an environment variable; empty: not set.
std::string Environment(const char* name);

// Folder of the models that come with Lockstep, looked for in the same places.
std::string ModelDir();

// Path of the executable `name`, which stands beside this one. NotFound says where that was.
absl::StatusOr<std::string> BesideThis(const std::string& name);

// Path of lockstep-chip, which stands beside this executable. NotFound says where that was.
absl::StatusOr<std::string> ChipExecutable();

}  // namespace lockstep
