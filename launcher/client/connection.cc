// Flags before environment before file (launcher/client/connection.h).
#include "launcher/client/connection.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "launcher/exit_code.h"
#include "launcher/paths.h"
#include "lockstep/v1/error.pb.h"

namespace lockstep {
namespace {

constexpr auto kFirstPause = std::chrono::milliseconds(50);
constexpr auto kLongestPause = std::chrono::seconds(2);
constexpr int kMaxMessageBytes = 64 << 20;  // of a job with all its text

struct Setting {
  const char* key;
  const char* variable;
  std::string ClientOptions::*value;
};
const Setting kSettings[] = {
    {"server", "LOCKSTEP_SERVER", &ClientOptions::server},
    {"token-file", "LOCKSTEP_TOKEN_FILE", &ClientOptions::token_file},
    {"ca", "LOCKSTEP_CA", &ClientOptions::ca},
    {"cert", "LOCKSTEP_CERT", &ClientOptions::cert},
    {"key", "LOCKSTEP_KEY", &ClientOptions::key},
};

// $LOCKSTEP_CONFIG, which must exist then, or ~/.config/lockstep/client.toml, which may.
absl::StatusOr<std::map<std::string, std::string>> ReadUserFile() {
  std::map<std::string, std::string> values;
  std::string path = Environment("LOCKSTEP_CONFIG");
  const bool must = !path.empty();
  if (!must) path = Environment("HOME") + "/.config/lockstep/client.toml";
  std::error_code error;
  if (!must && !std::filesystem::exists(path, error)) return values;
  try {
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_file(path)) {
      const bool known = std::any_of(std::begin(kSettings), std::end(kSettings),
                                     [&item](const Setting& s) { return item.name == s.key; });
      if (!known || !item.parents.empty() || item.inputs.size() != 1) {
        return absl::InvalidArgumentError(absl::StrCat(path, ": ", item.fullname(),
                                                       ": there are server, token-file, ca, cert, "
                                                       "key, with one value each"));
      }
      values[item.name] = item.inputs[0];
    }
  } catch (const CLI::Error& problem) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", problem.what()));
  }
  return values;
}

absl::StatusOr<std::string> ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in || text.empty()) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const ClientOptions& o) {
  if (o.ca.empty()) {
    if (o.cert.empty() && o.key.empty()) return grpc::InsecureChannelCredentials();
    return AsUsage(absl::InvalidArgumentError("--cert and --key have no effect without --ca"));
  }
  grpc::SslCredentialsOptions tls;
  ASSIGN_OR_RETURN(tls.pem_root_certs, ReadAll(o.ca));
  if (!o.cert.empty() || !o.key.empty()) {
    ASSIGN_OR_RETURN(tls.pem_cert_chain, ReadAll(o.cert));
    ASSIGN_OR_RETURN(tls.pem_private_key, ReadAll(o.key));
  }
  return grpc::SslCredentials(tls);
}

std::string FieldOf(const grpc::Status& status) {
  v1::StatusDetails details;
  if (!details.ParseFromString(status.error_details())) return "";
  for (const google::protobuf::Any& any : details.details()) {
    v1::BadRequest bad;
    if (absl::EndsWith(any.type_url(), "/google.rpc.BadRequest") &&
        bad.ParseFromString(any.value()) && bad.field_violations_size() > 0) {
      return bad.field_violations(0).field();
    }
  }
  return "";
}

}  // namespace

void AddClientFlags(CLI::App& app, ClientOptions* options) {
  app.add_option("--server", options->server,
                 "unix:/PATH or HOST:PORT (else $LOCKSTEP_SERVER, else the user's file)");
  app.add_option("--token-file", options->token_file, "File whose first line is the token");
  app.add_option("--ca", options->ca, "PEM file: use TLS, trust what it signed");
  app.add_option("--cert", options->cert, "PEM file: the client's certificate");
  app.add_option("--key", options->key, "PEM file: the key of --cert");
  app.add_option("--timeout", options->timeout_seconds,
                 "Seconds for which the controller may be away")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--json", options->json, "Print JSON, one message a line");
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(ClientOptions options) {
  ASSIGN_OR_RETURN(auto file, ReadUserFile());
  for (const Setting& setting : kSettings) {
    std::string& value = options.*setting.value;
    if (value.empty()) value = Environment(setting.variable);
    if (value.empty()) value = file[setting.key];
  }
  if (options.server.empty()) {
    return AsUsage(absl::InvalidArgumentError(
        "no controller is named: give --server, or set LOCKSTEP_SERVER"));
  }
  std::unique_ptr<Connection> connection(new Connection);
  connection->token_ = Environment("LOCKSTEP_TOKEN");
  if (!options.token_file.empty()) {
    ASSIGN_OR_RETURN(connection->token_, ReadAll(options.token_file));
    connection->token_ = connection->token_.substr(0, connection->token_.find_first_of("\r\n"));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials,
                   Credentials(options));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // A controller that was away is found again soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // what one attempt may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  connection->stub_ = v1::Controller::NewStub(
      grpc::CreateCustomChannel(options.server, credentials, arguments));
  connection->options_ = std::move(options);
  return connection;
}

std::unique_ptr<grpc::ClientContext> Connection::NewContext() const {
  auto context = std::make_unique<grpc::ClientContext>();
  if (!token_.empty()) context->AddMetadata("authorization", "Bearer " + token_);
  return context;
}

absl::Status Connection::Call(
    const std::function<grpc::Status(grpc::ClientContext*)>& call) const {
  const auto end = std::chrono::system_clock::now() + std::chrono::seconds(options_.timeout_seconds);
  std::chrono::milliseconds pause = kFirstPause;
  while (true) {
    const std::unique_ptr<grpc::ClientContext> context = NewContext();
    context->set_deadline(end);
    const grpc::Status status = call(context.get());
    const bool again = status.error_code() == grpc::StatusCode::UNAVAILABLE &&
                       std::chrono::system_clock::now() + pause < end;
    if (!again) return FromGrpc(status, options_.server);
    std::this_thread::sleep_for(pause);
    pause = std::min<std::chrono::milliseconds>(pause * 2, kLongestPause);
  }
}

absl::Status FromGrpc(const grpc::Status& status, const std::string& server) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  const bool away = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                    status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  const std::string field = FieldOf(status);
  absl::Status out(code, away ? absl::StrCat("no answer from ", server, ": ", status.error_message())
                              : status.error_message());
  if (!field.empty()) out.SetPayload("lockstep/field", absl::Cord(field));
  return away ? WithExitCode(out, kExitUnreachable) : out;
}

}  // namespace lockstep
