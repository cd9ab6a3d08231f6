#pragma once
// Where the launcher finds files that come with Lockstep. The only code that reads the environment.

#include <string>

namespace lockstep {

// Folder of the topology files: `flag` if not empty, else $LOCKSTEP_TOPOLOGY_DIR, else the first
// that exists of <executable>/../../../topologies (a build tree) and the source tree's.
std::string TopologyDir(const std::string& flag);

}  // namespace lockstep
