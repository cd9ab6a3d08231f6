#pragma once
// Topology files: textproto (proto/lockstep/v1/topology.proto) to TopologySpec.
//
// A file is untrusted: at most kMaxTextprotoBytes are read, unknown fields are errors, and
// every error names the file, where the text itself is wrong also line and column (from 1):
//   topologies/x.textproto:3:9: Message type "lockstep.v1.Node" has no field named "chps".

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fabric/topology_spec.h"

namespace lockstep {

// Rules of the text; `file` is what errors call it. InvalidArgument for bad text or bad rules; the
// result satisfies ValidateSpec.
absl::StatusOr<TopologySpec> ParseTopology(absl::string_view text, absl::string_view file);

// `name_or_path` is a path when it holds a '/' or ends in ".textproto", else the name of
// <search_dir>/<name>.textproto. NotFound for an unknown name lists those known.
absl::StatusOr<TopologySpec> LoadTopology(const std::string& name_or_path,
                                          const std::string& search_dir);

// Names that LoadTopology finds in `search_dir`, sorted; empty when there is no such folder.
std::vector<std::string> KnownTopologies(const std::string& search_dir);

}  // namespace lockstep
