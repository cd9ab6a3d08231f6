// A child, a pipe and three signals (launcher/mpirun.h).
#include "launcher/mpirun.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "launcher/console.h"

namespace lockstep {
namespace {

constexpr int kCannotExec = 127;
constexpr int kGraceMs = 5000;  // between a polite and an impolite end
constexpr size_t kKeptBytes = 1 << 16;

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int s : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, s);
  return set;
}

[[noreturn]] void BecomeMpirun(const std::vector<std::string>& arguments, int error_pipe,
                               pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
  if (getppid() != parent) _exit(kCannotExec);  // it died before prctl
  const sigset_t set = WatchedSignals();
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  const int null = open("/dev/null", O_RDONLY);
  if (null >= 0) dup2(null, STDIN_FILENO);
  dup2(error_pipe, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(kCannotExec);
}

// Reads what comes, takes progress out of it and keeps the end of the rest.
class ErrorReader {
 public:
  explicit ErrorReader(const MpirunJob& job) : job_(job) {}

  // False: nothing more will come.
  bool Read(int fd) {
    char buffer[4096];
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    partial_.append(buffer, static_cast<size_t>(n));
    size_t end;
    while ((end = partial_.find('\n')) != std::string::npos) {
      TakeLine(partial_.substr(0, end));
      partial_.erase(0, end + 1);
    }
    return n > 0;
  }

  std::string Take() { return kept_ + partial_; }

 private:
  void TakeLine(const std::string& line) {
    absl::string_view rest = line;
    if (!absl::ConsumePrefix(&rest, kProgressPrefix)) {
      absl::StrAppend(&kept_, line, "\n");
      if (kept_.size() > kKeptBytes) kept_.erase(0, kept_.size() - kKeptBytes);
      return;
    }
    const std::vector<std::string> numbers = absl::StrSplit(rest, '/');
    int done = 0, of = 0;
    if (job_.progress && numbers.size() == 2 && absl::SimpleAtoi(numbers[0], &done) &&
        absl::SimpleAtoi(numbers[1], &of)) {
      job_.progress(done, of);
    }
  }

  const MpirunJob& job_;
  std::string partial_, kept_;
};

struct Ending {
  int wait_status = 0;
  int stopped_by = 0;  // a signal to this process, or 0
};

// Until mpirun has ended. A signal asks it to end; one that does not within kGraceMs is killed.
Ending Watch(pid_t mpirun, int error_pipe, int signals, ErrorReader& reader) {
  Ending ending;
  bool open = true;
  pollfd fds[2] = {{error_pipe, POLLIN, 0}, {signals, POLLIN, 0}};
  while (true) {
    fds[0].fd = open ? error_pipe : -1;
    const int ready = poll(fds, 2, ending.stopped_by != 0 ? kGraceMs : -1);
    if (ready == 0) kill(-mpirun, SIGKILL);
    if (ready > 0 && fds[0].revents != 0) open = reader.Read(error_pipe);
    signalfd_siginfo info;
    if (ready > 0 && fds[1].revents != 0 && read(signals, &info, sizeof(info)) == sizeof(info) &&
        info.ssi_signo != SIGCHLD) {
      ending.stopped_by = static_cast<int>(info.ssi_signo);
      kill(mpirun, SIGTERM);
    }
    const pid_t ended = waitpid(mpirun, &ending.wait_status, WNOHANG);
    if (ended == mpirun || (ended < 0 && errno == ECHILD)) break;
  }
  // What mpirun wrote last. A rank that it lost may still hold the pipe: do not wait for that.
  fcntl(error_pipe, F_SETFL, O_NONBLOCK);
  for (pollfd last = {error_pipe, POLLIN, 0}; open && poll(&last, 1, 0) > 0;) {
    open = reader.Read(error_pipe);
  }
  return ending;
}

absl::Status Judge(const Ending& ending, const std::string& text) {
  if (ending.stopped_by != 0) {
    return absl::CancelledError(absl::StrCat("stopped by ", strsignal(ending.stopped_by)));
  }
  const int status = ending.wait_status;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  if (WIFEXITED(status) && WEXITSTATUS(status) == kCannotExec && text.empty()) {
    return absl::UnavailableError(
        "cannot start mpirun (Debian: openmpi-bin); --transport local runs without it");
  }
  if (WIFSIGNALED(status)) {
    return absl::AbortedError(absl::StrCat("mpirun was ended by signal ", WTERMSIG(status), " (",
                                           strsignal(WTERMSIG(status)), ")"));
  }
  return ExplainFailure(text);
}

// The number that follows `words` in `text`.
std::optional<int> NumberAfter(absl::string_view text, absl::string_view words) {
  const size_t at = text.find(words);
  if (at == absl::string_view::npos) return std::nullopt;
  absl::string_view rest = absl::StripLeadingAsciiWhitespace(text.substr(at + words.size()));
  rest = rest.substr(0, rest.find_first_not_of("0123456789"));
  int value = 0;
  if (!absl::SimpleAtoi(rest, &value)) return std::nullopt;
  return value;
}

// The lines that ranks wrote of a failed CHECK or an error of their own.
std::string OwnLines(absl::string_view text) {
  std::string own;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const bool error = absl::ConsumePrefix(&line, kChipPrefix);
    if (error || absl::StrContains(line, ": CHECK(")) {
      absl::StrAppend(&own, own.empty() ? "" : "\n", line);
    }
  }
  return own;
}

// When the first rank ends, mpirun removes the session folders of all, a file system's sync each,
// before it hears of the end; if that takes 2 s, it takes the rank for lost. In memory it takes
// none.
std::vector<std::string> SessionFolders() {
  constexpr char kShared[] = "/dev/shm";
  if (std::getenv("OMPI_MCA_orte_tmpdir_base") != nullptr) return {};
  if (access(kShared, W_OK | X_OK) != 0) return {};
  return {"--mca", "orte_tmpdir_base", kShared};
}

std::vector<std::string> MpirunArguments(const MpirunJob& job) {
  // All ranks are on this host: those that start need not look for ways to others.
  std::vector<std::string> all = {"mpirun", "--oversubscribe", "--bind-to", "none", "--mca", "pml",
                                  "ob1", "--mca", "btl", "self,vader", "-n",
                                  absl::StrCat(job.ranks)};
  const std::vector<std::string> folders = SessionFolders();
  all.insert(all.begin() + 1, folders.begin(), folders.end());
  if (geteuid() == 0) all.insert(all.begin() + 1, "--allow-run-as-root");
  all.push_back(job.program);
  all.insert(all.end(), job.arguments.begin(), job.arguments.end());
  return all;
}

}  // namespace

absl::Status RunMpirun(const MpirunJob& job) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot make a pipe: ", std::strerror(errno)));
  }
  const sigset_t set = WatchedSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
  const int signals = signalfd(-1, &set, SFD_CLOEXEC);
  const std::vector<std::string> arguments = MpirunArguments(job);
  const pid_t parent = getpid();
  const pid_t mpirun = fork();
  if (mpirun == 0) BecomeMpirun(arguments, pipe_ends[1], parent);
  close(pipe_ends[1]);
  absl::Status status;
  if (mpirun < 0 || signals < 0) {
    status = absl::UnavailableError(absl::StrCat("cannot start mpirun: ", std::strerror(errno)));
  } else {
    setpgid(mpirun, mpirun);
    ErrorReader reader(job);
    const Ending ending = Watch(mpirun, pipe_ends[0], signals, reader);
    status = Judge(ending, reader.Take());
  }
  close(pipe_ends[0]);
  close(signals);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  return status;
}

absl::Status ExplainFailure(absl::string_view standard_error) {
  const std::string own = OwnLines(standard_error);
  const std::optional<int> rank = NumberAfter(standard_error, "process rank ");
  const std::optional<int> signal = NumberAfter(standard_error, "exited on signal ");
  if (rank && signal) {
    return absl::AbortedError(absl::StrCat("rank ", *rank, " was ended by signal ", *signal, " (",
                                           strsignal(*signal), ")", own.empty() ? "" : ": ", own));
  }
  if (!own.empty()) return absl::AbortedError(own);
  const std::optional<int> code = NumberAfter(standard_error, "Exit code:");
  const size_t name = standard_error.find("Process name:");
  if (code && name != absl::string_view::npos) {
    const std::optional<int> which = NumberAfter(standard_error.substr(name), "],");
    return absl::AbortedError(
        absl::StrCat("rank ", which ? absl::StrCat(*which) : "?", " ended with exit code ", *code));
  }
  return absl::AbortedError(absl::StrCat("mpirun failed; it says:\n", standard_error));
}

}  // namespace lockstep
