#pragma once
// A controller, wired by hand: store, hub, runner, metrics, service, ports.

#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/controller/service.h"

namespace lockstep {

struct TlsOptions {
  std::string certificate, key;  // PEM files; empty: no TLS
  std::string client_ca;         // PEM file: clients must show a certificate that it signed
};

struct ServerOptions {
  std::vector<std::string> listen;  // runtime/controller/auth.h; port 0: any free one
  TlsOptions tls;                   // for all but Unix sockets
  std::string token_file;           // empty: none
  std::string metrics;              // loopback HOST:PORT; empty: none
  std::string state_folder;
  std::string lockstep_program, guard_program;
  RunnerPolicy policy;
  int max_queued = 100'000;          // jobs that wait at most
  int max_streams = 1024;            // calls at once on one connection
  int max_message_bytes = 1 << 20;   // of a request
  int max_metadata_bytes = 16 << 10;
};

class ControllerServer {
 public:
  // Recovers what an earlier one left, then listens. Errors: an address that needs TLS and a token
  // but has none (FailedPrecondition), a port in use, a store that another process has.
  static absl::StatusOr<std::unique_ptr<ControllerServer>> Start(const ServerOptions& options);
  ControllerServer(const ControllerServer&) = delete;
  ControllerServer& operator=(const ControllerServer&) = delete;
  ~ControllerServer();  // Stop

  // Addresses in use, with the ports that were chosen.
  const std::vector<std::string>& addresses() const { return addresses_; }
  std::string metrics_port() const { return metrics_->port(); }
  const JobStore& store() const { return *store_; }

  // Takes over policy and token of `options`; the rest stays as it was started with, so an address
  // in use that needs a token must have one afterwards.
  absl::Status Reload(const ServerOptions& options);
  // Ends calls, then attempts, whose jobs are queued again, within about `seconds`.
  void Stop(int seconds);

 private:
  ControllerServer() = default;
  absl::Status Open(const ServerOptions& options);
  absl::Status Listen(const ServerOptions& options);

  // In the order in which they are made.
  TokenCheck token_;
  std::unique_ptr<JobStore> store_;
  std::unique_ptr<EventHub> hub_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Runner> runner_;
  std::unique_ptr<Submitter> submitter_;
  std::unique_ptr<ControllerService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::string> addresses_;
  ServerOptions started_;  // as it was started
};

// Ok, or FailedPrecondition saying what an address lacks.
absl::Status CheckListen(const ServerOptions& options);

}  // namespace lockstep
