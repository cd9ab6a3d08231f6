#pragma once
// What all client commands share: following a job to its end, fetching artifacts, printing.

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "launcher/client/connection.h"

namespace lockstep {

// Every event of `job_id` after `after`, once each and in order, over as many connections as it
// takes, until the job has ended; then the job. A controller that is away for longer than the
// timeout ends it.
absl::StatusOr<v1::Job> Follow(Connection& connection, const std::string& job_id, int64_t after,
                               const std::function<void(const v1::JobEvent&)>& see);

// The job as it is now, with its text.
absl::StatusOr<v1::Job> GetJob(Connection& connection, const std::string& job_id);

// Ok if it succeeded; else an error with its reason and exit code.
absl::Status Outcome(const v1::Job& job);

// Text to standard output, states and progress to standard error; JSON lines with --json.
std::function<void(const v1::JobEvent&)> Printer(const ClientOptions& options, bool states);

// The artifact's bytes to `take`, from where an interruption left off.
absl::Status Fetch(Connection& connection, const std::string& job_id, const std::string& name,
                   const std::function<absl::Status(const std::string&)>& take);

void PrintJson(const google::protobuf::Message& message);

}  // namespace lockstep
