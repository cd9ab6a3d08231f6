#pragma once
// absl::Status to what a client gets: the same code and message, and for an error of a field
// google.rpc.BadRequest in the trailer (proto/lockstep/v1/error.proto).

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace lockstep {

// The message is cut at 2 KiB and made valid UTF-8: it travels in a header.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace lockstep
