#pragma once
// A client's way to a controller: address, token and certificates from flags, environment or the
// user's file, in this order; calls that are made again while the controller is away.

#include <grpcpp/client_context.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lockstep/v1/controller.grpc.pb.h"

namespace lockstep {

struct ClientOptions {
  std::string server;      // $LOCKSTEP_SERVER; unix:/PATH or HOST:PORT
  std::string token_file;  // $LOCKSTEP_TOKEN_FILE; or the token itself in $LOCKSTEP_TOKEN
  std::string ca;          // $LOCKSTEP_CA, PEM: TLS, and who signed the server's certificate
  std::string cert, key;   // $LOCKSTEP_CERT, $LOCKSTEP_KEY, PEM: for mutual TLS
  int timeout_seconds = 60;
  bool json = false;
};

// --server, --token-file, --ca, --cert, --key, --timeout, --json.
void AddClientFlags(CLI::App& app, ClientOptions* options);

class Connection {
 public:
  // Fills in what the flags left open. Errors: no server is named (usage), files that cannot be
  // read. Nothing is sent yet.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(ClientOptions options);

  v1::Controller::Stub& stub() { return *stub_; }
  const ClientOptions& options() const { return options_; }
  // A context with the token. No deadline.
  std::unique_ptr<grpc::ClientContext> NewContext() const;

  // Makes the call until it gives something other than UNAVAILABLE or the timeout has passed.
  absl::Status Call(const std::function<grpc::Status(grpc::ClientContext*)>& call) const;

 private:
  ClientOptions options_;
  std::string token_;
  std::unique_ptr<v1::Controller::Stub> stub_;
};

// With the exit code that belongs to it (launcher/exit_code.h), and the field that it names.
absl::Status FromGrpc(const grpc::Status& status, const std::string& server);

}  // namespace lockstep
