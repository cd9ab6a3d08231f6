// Signals and a timer through two descriptors, so that everything happens in one loop
// (runtime/jobs/guard.h).
#include "runtime/jobs/guard.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/jobs/process_table.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLookMs = 200;
constexpr int kKillSeconds = 30;
constexpr const char* kNames[] = {"exited",       "signal",  "time_limit",  "memory_limit",
                                  "output_limit", "stopped", "cannot_start"};

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int s : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, s);
  return set;
}

[[noreturn]] void BecomeCommand(const GuardOptions& options, int error_fd, pid_t guard) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != guard) _exit(1);
  const sigset_t set = WatchedSignals();
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const rlimit file = {static_cast<rlim_t>(options.output_bytes),
                       static_cast<rlim_t>(options.output_bytes)};
  setrlimit(RLIMIT_FSIZE, &file);
  if (!options.stdout_file.empty()) {
    const int out = open(options.stdout_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out >= 0) dup2(out, STDOUT_FILENO);
  }
  std::vector<char*> argv;
  for (const std::string& a : options.command) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  const int error = errno;
  (void)!write(error_fd, &error, sizeof(error));
  _exit(127);
}

class Guard {
 public:
  explicit Guard(const GuardOptions& options)
      : options_(options), start_(Clock::now()), end_(start_ + std::chrono::seconds(options.seconds)) {}

  Verdict Run() {
    const sigset_t set = WatchedSignals();
    sigprocmask(SIG_BLOCK, &set, nullptr);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != options_.parent) return {Verdict::Kind::kStopped, 0};
    signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    const bool started = signals_ >= 0 && Start();
    const Verdict verdict = started ? Watch() : Verdict{Verdict::Kind::kCannotStart, errno};
    const pid_t self = getpid();
    KillAll([self] { return DescendantsOf(self); }, kKillSeconds, [this] { Reap(); });
    Reap();
    return {verdict.kind, verdict.value, Use()};
  }

 private:
  // False: errno says why.
  bool Start() {
    int error_pipe[2];
    if (pipe2(error_pipe, O_CLOEXEC) != 0) return false;
    const pid_t self = getpid();
    command_ = fork();
    if (command_ == 0) BecomeCommand(options_, error_pipe[1], self);
    close(error_pipe[1]);
    int error = errno;
    const bool failed = command_ < 0 || read(error_pipe[0], &error, sizeof(error)) > 0;
    close(error_pipe[0]);
    errno = error;
    return !failed;
  }

  Verdict Watch() {
    while (true) {
      pollfd signals = {signals_, POLLIN, 0};
      poll(&signals, 1, kLookMs);
      signalfd_siginfo info;
      while (read(signals_, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo != SIGCHLD) return {Verdict::Kind::kStopped, 0};
      }
      Reap();
      if (ended_) return *ended_;
      if (const std::optional<Verdict> limit = Limits()) return *limit;
    }
  }

  std::optional<Verdict> Limits() {
    const Clock::time_point now = Clock::now();
    if (now >= end_) return Verdict{Verdict::Kind::kTimeLimit, options_.seconds};
    if (now - looked_ < std::chrono::milliseconds(kLookMs)) return std::nullopt;
    looked_ = now;
    const int64_t memory = MemoryOf(DescendantsOf(getpid()));
    most_memory_ = std::max(most_memory_, memory);
    if (memory > options_.memory_bytes) return Verdict{Verdict::Kind::kMemoryLimit, memory};
    const int64_t output = BytesBelow(".");
    if (output > options_.output_bytes) return Verdict{Verdict::Kind::kOutputLimit, output};
    return std::nullopt;
  }

  void Reap() {
    int status = 0;
    pid_t process;
    while ((process = waitpid(-1, &status, WNOHANG)) > 0) {
      if (process != command_) continue;
      if (WIFEXITED(status)) ended_ = {Verdict::Kind::kExited, WEXITSTATUS(status)};
      if (WIFSIGNALED(status)) ended_ = {Verdict::Kind::kSignalled, WTERMSIG(status)};
    }
  }

  // Of all that has been reaped, here or by a parent below.
  HostUse Use() const {
    rusage use = {};
    getrusage(RUSAGE_CHILDREN, &use);
    const auto us = [](const timeval& t) { return int64_t{t.tv_sec} * 1'000'000 + t.tv_usec; };
    const auto wall = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start_);
    return {wall.count(), us(use.ru_utime) + us(use.ru_stime), most_memory_,
            int64_t{use.ru_maxrss} << 10};
  }

  const GuardOptions& options_;
  const Clock::time_point start_, end_;
  int64_t most_memory_ = 0;
  Clock::time_point looked_ = Clock::now();
  int signals_ = -1;
  pid_t command_ = -1;
  std::optional<Verdict> ended_;
};

}  // namespace

std::string FormatVerdict(const Verdict& verdict) {
  const HostUse& use = verdict.use;
  return absl::StrCat(kNames[static_cast<int>(verdict.kind)], " ", verdict.value, " ", use.wall_us,
                      " ", use.cpu_us, " ", use.memory_bytes, " ") +
         absl::StrCat(use.process_bytes, "\n");
}

std::optional<Verdict> ParseVerdict(absl::string_view line) {
  if (!absl::ConsumeSuffix(&line, "\n")) return std::nullopt;
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  Verdict verdict;
  int64_t* const numbers[] = {&verdict.value, &verdict.use.wall_us, &verdict.use.cpu_us,
                              &verdict.use.memory_bytes, &verdict.use.process_bytes};
  if (words.size() != 1 + std::size(numbers)) return std::nullopt;
  for (size_t i = 0; i < std::size(numbers); ++i) {
    if (!absl::SimpleAtoi(words[1 + i], numbers[i])) return std::nullopt;
  }
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (words[0] != kNames[i]) continue;
    verdict.kind = static_cast<Verdict::Kind>(i);
    return verdict;
  }
  return std::nullopt;
}

int RunGuard(const GuardOptions& options) {
  setsid();
  fcntl(options.verdict_fd, F_SETFD, FD_CLOEXEC);
  const std::string line = FormatVerdict(Guard(options).Run());
  return write(options.verdict_fd, line.data(), line.size()) ==
                 static_cast<ssize_t>(line.size())
             ? 0
             : 1;
}

}  // namespace lockstep
