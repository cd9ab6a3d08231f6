// `lockstepd`: the controller (docs/controller.md). Every flag is also a key of the file given with
// --config. SIGTERM and SIGINT end it in order, SIGHUP reads flags and file again. Exit codes:
// launcher/exit_code.h.
#include <google/protobuf/stubs/logging.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "chip/check.h"
#include "launcher/exit_code.h"
#include "launcher/paths.h"
#include "runtime/controller/server.h"
#include "runtime/files/atomic_file.h"

namespace lockstep {
namespace {

constexpr int kGraceSeconds = 5;

struct Flags {
  ServerOptions server;
  std::string address_file, log_level = "info";
};

int64_t HostMemory() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
}

void AddPlaces(CLI::App& app, Flags* flags) {
  ServerOptions& s = flags->server;
  app.set_config("--config", "", "File of flags: state = \"/var/lib/lockstep\"");
  app.allow_config_extras(false);
  app.add_option("--state", s.state_folder, "Folder of jobs and their results")->required();
  app.add_option("--listen", s.listen,
                 "unix:/PATH or HOST:PORT, port 0 for a free one; may be repeated")
      ->default_str("127.0.0.1:0");
  app.add_option("--models", s.policy.roots.models,
                 "Folder of model folders; may be repeated (default: the built-in ones)");
  app.add_option("--topologies", s.policy.roots.topologies, "Folder of <name>.textproto files");
  app.add_option("--address-file", flags->address_file,
                 "File that takes the addresses in use, one a line");
  app.add_option("--tls-cert", s.tls.certificate, "PEM file");
  app.add_option("--tls-key", s.tls.key, "PEM file");
  app.add_option("--tls-client-ca", s.tls.client_ca, "PEM file: clients need a certificate of it");
  app.add_option("--token-file", s.token_file, "Its first line is what clients must present");
  app.add_option("--metrics", s.metrics, "Loopback HOST:PORT for Prometheus");
  app.add_option("--log-level", flags->log_level)
      ->check(CLI::IsMember({"debug", "info", "warn", "err", "off"}))
      ->capture_default_str();
}

void AddLimits(CLI::App& app, Flags* flags) {
  ServerOptions& s = flags->server;
  HostLimits& limits = s.policy.limits;
  limits = {static_cast<int>(std::max(1u, std::thread::hardware_concurrency())),
            HostMemory() / 4 * 3, 128, 24 * 3600, int64_t{16} << 30};
  const auto number = [&app](const char* name, auto& value, const char* help) {
    app.add_option(name, value, help)->check(CLI::PositiveNumber)->capture_default_str();
  };
  number("--cores", limits.cores, "Cores that jobs share");
  number("--memory-bytes", limits.memory_bytes, "Memory that jobs share, and one may have");
  number("--max-ranks", limits.ranks, "Processes of one job");
  number("--max-seconds", limits.seconds, "Time of one attempt");
  number("--max-output-bytes", limits.output_bytes, "Files and output of one attempt");
  number("--max-queued", s.max_queued, "Jobs that wait");
  number("--max-streams", s.max_streams, "Calls at once on one connection");
  number("--max-failed-attempts", s.policy.max_failed_attempts,
         "Attempts that a signal from outside ended, after which a job fails");
  number("--max-interruptions", s.policy.max_interruptions,
         "Attempts lost with the controller, after which a job fails");
  app.add_option("--max-overtakes", s.policy.max_overtakes,
                 "Later jobs that may start before one that does not fit yet")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--hold", s.policy.hold, "Accept jobs, start none");
}

// What Protobuf says of requests that it cannot read: the client is told, so the log need not grow.
void LogProtobuf(google::protobuf::LogLevel level, const char*, int, const std::string& message) {
  spdlog::log(level == google::protobuf::LOGLEVEL_FATAL ? spdlog::level::critical
                                                        : spdlog::level::debug,
              "protobuf: {}", message);
}

// The flags, and the file that they name, as they are now.
int Parse(int argc, char** argv, Flags* flags) {
  CLI::App app("The controller: takes jobs over gRPC and runs them through mpirun", "lockstepd");
  AddPlaces(app, flags);
  AddLimits(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? -1 : 2;
  }
  ServerOptions& s = flags->server;
  if (s.listen.empty()) s.listen = {"127.0.0.1:0"};
  if (s.policy.roots.models.empty()) s.policy.roots.models = {ModelDir()};
  s.policy.roots.topologies = TopologyDir(s.policy.roots.topologies);
  return 0;
}

void Reload(int argc, char** argv, ControllerServer& server) {
  Flags flags;
  if (Parse(argc, argv, &flags) != 0) {
    spdlog::error("reload refused: the flags or the file are wrong; nothing has changed");
    return;
  }
  const absl::Status status = server.Reload(flags.server);
  if (status.ok()) {
    spdlog::set_level(spdlog::level::from_str(flags.log_level));
    spdlog::info("reloaded: token, folders and limits; addresses, TLS and state need a restart");
  } else {
    spdlog::error("reload refused: {}; nothing has changed", std::string(status.message()));
  }
}

absl::Status Serve(int argc, char** argv, Flags& flags, const sigset_t& signals) {
  ASSIGN_OR_RETURN(flags.server.lockstep_program, BesideThis("lockstep"));
  ASSIGN_OR_RETURN(flags.server.guard_program, BesideThis("lockstep-job"));
  RETURN_IF_ERROR(BesideThis("lockstep-chip").status());
  ASSIGN_OR_RETURN(const std::unique_ptr<ControllerServer> server,
                   ControllerServer::Start(flags.server));
  const std::string addresses = absl::StrJoin(server->addresses(), "\n");
  if (!flags.address_file.empty()) {
    RETURN_IF_ERROR(WriteAtomically(flags.address_file, addresses + "\n"));
  }
  spdlog::info("store={} listening on {}", server->store().id(),
               absl::StrJoin(server->addresses(), " "));
  if (!flags.server.metrics.empty()) spdlog::info("metrics on port {}", server->metrics_port());
  while (true) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal == SIGHUP) {
      Reload(argc, argv, *server);
      continue;
    }
    spdlog::info("stopping on signal {}; running jobs are queued again", signal);
    server->Stop(kGraceSeconds);
    return absl::OkStatus();
  }
}

int Main(int argc, char** argv) {
  umask(077);
  Flags flags;
  if (const int code = Parse(argc, argv, &flags); code != 0) return std::max(code, 0);
  spdlog::set_default_logger(spdlog::stderr_logger_mt("lockstepd"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  spdlog::set_level(spdlog::level::from_str(flags.log_level));
  google::protobuf::SetLogHandler(LogProtobuf);
  // Before any thread is made, so that they are all blocked in each of them.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, s);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const absl::Status status = Serve(argc, argv, flags, signals);
  if (!status.ok()) std::cerr << "lockstepd: " << status.message() << "\n";
  return ExitCode(status);
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::Main(argc, argv); }
