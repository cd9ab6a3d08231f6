#pragma once
// The files that an attempt leaves: brought to the disk under their final name before the store
// speaks of them.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/jobs/store.h"

namespace lockstep {

inline constexpr char kLogArtifact[] = "log.txt";

// Writes `log` (unless empty) beside the files `names` in `folder`, syncs those that exist, removes
// all others, and renames the folder to `final_folder`. Called again after an error it goes on.
// Paths are "<attempt>/<name>".
absl::StatusOr<std::vector<StoredArtifact>> CollectArtifacts(const std::string& folder,
                                                             const std::string& final_folder,
                                                             const std::vector<std::string>& names,
                                                             const std::string& log);

}  // namespace lockstep
