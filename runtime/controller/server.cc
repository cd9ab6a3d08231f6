// Start and stop (runtime/controller/server.h).
#include "runtime/controller/server.h"

#include <fcntl.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in || text.empty()) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const TlsOptions& tls) {
  grpc::SslServerCredentialsOptions options;
  if (!tls.client_ca.empty()) {
    ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(tls.client_ca));
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  ASSIGN_OR_RETURN(pair.cert_chain, ReadPem(tls.certificate));
  ASSIGN_OR_RETURN(pair.private_key, ReadPem(tls.key));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  return grpc::SslServerCredentials(options);
}

// "127.0.0.1:0" and a port to "127.0.0.1:41234".
std::string WithPort(const std::string& address, int port) {
  if (IsUnixAddress(address)) return address;
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

// A folder on shared memory where there is one: ranks of a job share rings of bytes there.
std::string ScratchFolder(const std::string& state_folder, const std::string& store_id) {
  if (access("/dev/shm", W_OK) != 0) return state_folder + "/scratch";
  return absl::StrCat("/dev/shm/lockstep-", store_id);
}

absl::Status MakeStateFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  struct stat info;
  if (error || stat(path.c_str(), &info) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot make folder ", path));
  }
  if (info.st_uid != geteuid() || chmod(path.c_str(), 0700) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("folder ", path, " is somebody else's"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckListen(const ServerOptions& options) {
  if (options.listen.empty()) return absl::InvalidArgumentError("no address to listen on");
  if (options.tls.certificate.empty() != options.tls.key.empty()) {
    return absl::InvalidArgumentError("a TLS certificate needs its key, and a key its certificate");
  }
  if (!options.tls.client_ca.empty() && options.tls.certificate.empty()) {
    return absl::InvalidArgumentError("a CA of clients has no effect without a TLS certificate");
  }
  for (const std::string& address : options.listen) {
    if (IsLocalAddress(address)) continue;
    const bool tls = !options.tls.certificate.empty(), token = !options.token_file.empty();
    if (tls && token) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "address ", address, " is neither a Unix socket nor loopback: it needs ",
        tls ? "" : "TLS", tls || token ? "" : " and ", token ? "" : "a token"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ControllerServer>> ControllerServer::Start(
    const ServerOptions& options) {
  RETURN_IF_ERROR(CheckListen(options));
  std::unique_ptr<ControllerServer> server(new ControllerServer);
  RETURN_IF_ERROR(server->Open(options));
  RETURN_IF_ERROR(server->Listen(options));
  server->started_ = options;
  return server;
}

absl::Status ControllerServer::Open(const ServerOptions& options) {
  if (!options.token_file.empty()) {
    ASSIGN_OR_RETURN(std::string token, ReadTokenFile(options.token_file));
    token_.Set(std::move(token));
  }
  RETURN_IF_ERROR(MakeStateFolder(options.state_folder));
  ASSIGN_OR_RETURN(store_, JobStore::Open(options.state_folder + "/jobs.sqlite"));
  hub_ = std::make_unique<EventHub>(store_.get());
  store_->set_listener([hub = hub_.get()](JobNumber job) { hub->Changed(job); });
  metrics_ = std::make_unique<Metrics>(store_.get(), hub_.get());
  if (!options.metrics.empty()) RETURN_IF_ERROR(metrics_->Expose(options.metrics));
  const RunnerOptions runner{options.state_folder,
                             ScratchFolder(options.state_folder, store_->id()),
                             options.lockstep_program, options.guard_program};
  ASSIGN_OR_RETURN(runner_, Runner::Start(runner, options.policy, store_.get(), metrics_.get()));
  submitter_ = std::make_unique<Submitter>(store_.get(), runner_.get(), metrics_.get(),
                                           options.max_queued);
  service_ = std::make_unique<ControllerService>(ControllerService::Parts{
      store_.get(), runner_.get(), hub_.get(), metrics_.get(), submitter_.get(), &token_});
  return absl::OkStatus();
}

absl::Status ControllerServer::Listen(const ServerOptions& options) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (!options.tls.certificate.empty()) {
    ASSIGN_OR_RETURN(credentials, TlsCredentials(options.tls));
  }
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, options.max_metadata_bytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(service_.get());
  std::vector<int> ports(options.listen.size(), 0);
  for (size_t i = 0; i < options.listen.size(); ++i) {
    const bool plain = IsUnixAddress(options.listen[i]);
    builder.AddListeningPort(options.listen[i],
                             plain ? grpc::InsecureServerCredentials() : credentials, &ports[i]);
  }
  server_ = builder.BuildAndStart();
  for (size_t i = 0; i < options.listen.size(); ++i) {
    if (server_ == nullptr || ports[i] == 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", options.listen[i],
                                                 ": in use, or the TLS files are wrong"));
    }
    addresses_.push_back(WithPort(options.listen[i], ports[i]));
  }
  return absl::OkStatus();
}

absl::Status ControllerServer::Reload(const ServerOptions& options) {
  std::string token;
  if (!options.token_file.empty()) {
    ASSIGN_OR_RETURN(token, ReadTokenFile(options.token_file));
  }
  ServerOptions now = options;
  now.listen = started_.listen;
  now.tls = started_.tls;
  RETURN_IF_ERROR(CheckListen(now));
  token_.Set(std::move(token));
  runner_->SetPolicy(options.policy);
  return absl::OkStatus();
}

void ControllerServer::Stop(int seconds) {
  if (server_ != nullptr) {
    server_->GetHealthCheckService()->SetServingStatus(false);
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
  }
  submitter_.reset();
  if (runner_ != nullptr) runner_->Stop();
}

ControllerServer::~ControllerServer() {
  Stop(0);
  server_.reset();
  service_.reset();
  runner_.reset();
  metrics_.reset();
  if (store_ != nullptr) store_->set_listener(nullptr);
  hub_.reset();
}

}  // namespace lockstep
