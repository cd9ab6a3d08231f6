#pragma once
// Who may speak to the controller, and where it may listen.
//
// Unix sockets and loopback need nothing more than this host's own users; any other address needs
// TLS and a token, and a server without them does not start. Health and reflection answer without
// a token: they tell nothing of jobs.

#include <grpcpp/server_context.h>

#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep {

// "unix:/path", "127.0.0.1:9090", "localhost:9090", "[::1]:9090". A name that is no number is not
// looked up, so only "localhost" counts as one.
bool IsUnixAddress(absl::string_view address);
bool IsLocalAddress(absl::string_view address);

// Equal, in a time that depends on the length of `given` alone.
bool SameSecret(absl::string_view expected, absl::string_view given);

// The first line of a file that only its owner can read. Errors name the file, never its content.
absl::StatusOr<std::string> ReadTokenFile(const std::string& path);

// The token that calls must bring as `authorization: Bearer TOKEN`. Thread-safe.
class TokenCheck {
 public:
  void Set(std::string token);  // empty: none is asked for
  // Unauthenticated if the call's metadata lacks it.
  absl::Status Check(const grpc::ServerContextBase& context) const;

 private:
  mutable std::mutex mutex_;
  std::string token_;
};

}  // namespace lockstep
