#pragma once
// From what a client asks to what is run: every field checked, every name resolved inside the
// configured folders, the host's share estimated, the command put together. Nothing that a client
// wrote becomes a path, an option or part of a shell's line: names are looked up, text becomes ids.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lockstep/v1/controller.pb.h"
#include "lockstep/v1/job.pb.h"

namespace lockstep {

// Where names of clients are looked up.
struct JobRoots {
  std::vector<std::string> models;  // folders of model folders; the first that has a name counts
  std::string topologies;           // folder of <name>.textproto
};

// What the host gives to all jobs together, and to one at most.
struct HostLimits {
  int cores = 1;
  int64_t memory_bytes = 0;
  int ranks = 0;            // of one job
  int seconds = 0;          // of one attempt
  int64_t output_bytes = 0;  // of one attempt
};

inline constexpr size_t kMaxPromptBytes = 64 * 1024;
inline constexpr int kMaxPromptIds = 16 * 1024;
inline constexpr int kMaxTokens = 1'000'000;

// The payload of an error that names a field: its path, such as "spec.generate.tokens".
inline constexpr char kFieldPayload[] = "lockstep/field";
absl::Status FieldError(absl::string_view field, absl::string_view what);
std::string FieldOf(const absl::Status& status);  // empty: it names none

struct JobCommand {
  std::vector<std::string> arguments;  // of `lockstep`
  bool stdout_is_text = false;         // of the model
  std::string stdout_file;             // else: the artifact that takes it; may be empty
  std::vector<std::string> artifacts;  // that it may write, in the working folder
};

struct PreparedJob {
  JobCommand command;
  v1::Needs needs;
};

// Errors: InvalidArgument naming the field; FailedPrecondition: this host could never run it, with
// what it needs.
absl::StatusOr<PreparedJob> PrepareJob(const v1::JobSpec& spec, const JobRoots& roots,
                                       const HostLimits& limits);

// Kinds that PrepareJob knows how to run.
std::vector<std::string> RunnableKinds();

absl::Status CheckRequestId(absl::string_view request_id);

// 1..128 characters of A-Z a-z 0-9 . _ -, the first no dot or dash: a name that is no path.
bool IsName(absl::string_view name);

// The folder of a model, or its name if it is a published shape and `weights` are not needed.
// NotFound: no root has it; a link that leads out of its root does not count.
absl::StatusOr<std::string> ResolveModel(const JobRoots& roots, const std::string& name,
                                         bool weights);

std::vector<v1::ModelInfo> ListModels(const JobRoots& roots);
std::vector<v1::TopologyInfo> ListTopologies(const JobRoots& roots);

}  // namespace lockstep
