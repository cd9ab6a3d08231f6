#pragma once
// Small textproto files that come with the program or from a user: finding, reading, parsing. What
// all kinds of them have in common (runtime/machine/topology_file.h,
// runtime/comparison/gpu_machine_file.h).
//
// A file of another kind than a topology says so in its first line, as textproto editors read it:
//   # proto-message: lockstep.v1.GpuMachine

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep {

inline constexpr size_t kMaxTextprotoBytes = 64 * 1024;

// A kind of file: what errors call it, and its message unless it is a topology.
struct TextprotoKind {
  const char* what;     // "topology"
  const char* message;  // "" or "lockstep.v1.GpuMachine"
};

// Fills `message`. InvalidArgument: longer than kMaxTextprotoBytes, or bad text as
// `file:line:column: what`, both from 1. Unknown fields are errors.
absl::Status ParseTextproto(absl::string_view text, absl::string_view file,
                            const TextprotoKind& kind, google::protobuf::Message& message);

// Of that kind in `search_dir`, without ".textproto", sorted; empty when there is no such folder.
std::vector<std::string> KnownTextprotos(const std::string& search_dir, const TextprotoKind& kind);

struct TextprotoFile {
  std::string path, text;
};

// `name_or_path` is a path when it holds a '/' or ends in ".textproto", else the name of
// <search_dir>/<name>.textproto. NotFound for an unknown name lists those known. At most
// kMaxTextprotoBytes + 1 are read.
absl::StatusOr<TextprotoFile> ReadTextproto(const std::string& name_or_path,
                                            const std::string& search_dir,
                                            const TextprotoKind& kind);

}  // namespace lockstep
