// Three pipes and a child (runtime/jobs/attempt.h).
#include "runtime/jobs/attempt.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "chip/check.h"
#include "runtime/jobs/failure.h"
#include "runtime/jobs/process_table.h"

namespace lockstep {
namespace {

constexpr size_t kKeptErrorBytes = 1 << 16;
constexpr int kKillSeconds = 30;
enum { kOut, kErr, kVerdict };

absl::Status MakeFolder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot make folder ", path, ": ",
                                             std::strerror(errno)));
}

// This process' environment without secrets, with the job's own variables.
std::vector<std::string> JobEnvironment(const std::string& marker, const std::string& scratch) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!absl::StartsWith(*variable, "LOCKSTEP_TOKEN")) variables.emplace_back(*variable);
  }
  variables.push_back(absl::StrCat(kJobMarker, "=", marker));
  // Where Open MPI keeps its session and the memory that ranks share: all of it goes with the job.
  for (const char* name : {"TMPDIR", "OMPI_MCA_btl_vader_backing_directory",
                           "OMPI_MCA_osc_sm_backing_store", "OMPI_MCA_osc_rdma_backing_directory"}) {
    std::erase_if(variables, [name](const std::string& v) {
      return absl::StartsWith(v, absl::StrCat(name, "="));
    });
    variables.push_back(absl::StrCat(name, "=", scratch));
  }
  return variables;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Attempt>> Attempt::Start(AttemptOptions options) {
  RETURN_IF_ERROR(MakeFolder(options.folder));
  RETURN_IF_ERROR(MakeFolder(options.scratch));
  std::unique_ptr<Attempt> attempt(new Attempt(std::move(options)));
  RETURN_IF_ERROR(attempt->Spawn());
  return attempt;
}

std::vector<std::string> Attempt::GuardCommand() const {
  const GuardOptions& guard = options_.guard;
  std::vector<std::string> command = {options_.guard_program,
                                      absl::StrCat("--seconds=", guard.seconds),
                                      absl::StrCat("--memory-bytes=", guard.memory_bytes),
                                      absl::StrCat("--output-bytes=", guard.output_bytes),
                                      absl::StrCat("--parent=", getpid())};
  if (!guard.stdout_file.empty()) command.push_back("--stdout-file=" + guard.stdout_file);
  command.push_back("--");
  command.insert(command.end(), guard.command.begin(), guard.command.end());
  return command;
}

absl::Status Attempt::Spawn() {
  int ends[6];
  for (int i = 0; i < 3; ++i) {
    if (pipe2(ends + 2 * i, O_CLOEXEC) != 0) {
      for (int j = 0; j < 2 * i; ++j) close(ends[j]);
      return absl::UnavailableError(absl::StrCat("cannot make a pipe: ", std::strerror(errno)));
    }
  }
  // Made before the fork: a child of a process with threads may not allocate.
  const std::vector<std::string> command = GuardCommand();
  const std::vector<std::string> variables = JobEnvironment(options_.marker, options_.scratch);
  const std::vector<char*> argv = Pointers(command), envp = Pointers(variables);
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t parent = getpid();
  guard_ = fork();
  if (guard_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (getppid() != parent || chdir(options_.folder.c_str()) != 0) _exit(1);
    dup2(null, STDIN_FILENO);
    // To high numbers first, since any of them may be one that is written here.
    int high[3];
    for (int i = 0; i < 3; ++i) high[i] = fcntl(ends[2 * i + 1], F_DUPFD_CLOEXEC, 16);
    for (int i = 0; i < 3; ++i) dup2(high[i], STDOUT_FILENO + i);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  close(null);
  for (int i = 0; i < 3; ++i) {
    close(ends[2 * i + 1]);
    fds_[i] = ends[2 * i];
    fcntl(fds_[i], F_SETFL, O_NONBLOCK);
  }
  if (guard_ > 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot fork: ", std::strerror(errno)));
}

Attempt::~Attempt() {
  if (guard_ > 0) {
    kill(guard_, SIGTERM);
    while (waitpid(guard_, &wait_status_, 0) < 0 && errno == EINTR) {
    }
    KillAll([this] { return MarkedProcesses(options_.marker); }, kKillSeconds, nullptr);
  }
  for (const int fd : fds_) {
    if (fd >= 0) close(fd);
  }
  std::error_code error;
  std::filesystem::remove_all(options_.scratch, error);
}

std::vector<int> Attempt::descriptors() const {
  std::vector<int> open;
  for (const int fd : fds_) {
    if (fd >= 0) open.push_back(fd);
  }
  return open;
}

void Attempt::ReadFrom(int which) {
  char buffer[1 << 14];
  // Bounded, so that one loud job does not hold up the others.
  for (int round = 0; round < 16 && fds_[which] >= 0; ++round) {
    const ssize_t n = read(fds_[which], buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) {
      close(std::exchange(fds_[which], -1));
      return;
    }
    const absl::string_view bytes(buffer, static_cast<size_t>(n));
    if (which == kVerdict) absl::StrAppend(&verdict_, bytes);
    if (which == kOut && options_.stdout_is_text) absl::StrAppend(&text_, bytes);
    if (which == kErr) TakeErrors(bytes);
    if (which != kVerdict) output_bytes_ += n;
  }
}

void Attempt::TakeErrors(absl::string_view bytes) {
  absl::StrAppend(&partial_error_, bytes);
  size_t end;
  while ((end = partial_error_.find('\n')) != std::string::npos) {
    absl::string_view line = absl::string_view(partial_error_).substr(0, end);
    absl::string_view rest = line;
    if (absl::ConsumePrefix(&rest, kJobProgressPrefix)) {
      const std::vector<absl::string_view> numbers = absl::StrSplit(rest, '/');
      int done = 0, of = 0;
      if (numbers.size() == 2 && absl::SimpleAtoi(numbers[0], &done) &&
          absl::SimpleAtoi(numbers[1], &of) && done >= 0 && done <= of) {
        progress_ = {done, of};
      }
      output_bytes_ -= static_cast<int64_t>(end) + 1;  // ours, not the program's
    } else {
      absl::StrAppend(&error_, line, "\n");
    }
    partial_error_.erase(0, end + 1);
  }
  if (partial_error_.size() > kKeptErrorBytes) partial_error_.clear();
  if (error_.size() > 2 * kKeptErrorBytes) error_.erase(0, error_.size() - kKeptErrorBytes);
}

bool Attempt::Read() {
  for (int which : {kOut, kErr, kVerdict}) ReadFrom(which);
  if (fds_[kVerdict] < 0) Reap();
  if (!descriptors().empty()) return true;
  absl::StrAppend(&error_, std::exchange(partial_error_, ""));
  std::error_code error;
  std::filesystem::remove_all(options_.scratch, error);
  return false;
}

// The verdict's pipe has ended, so the guard has ended or is about to.
void Attempt::Reap() {
  if (guard_ <= 0) return;
  while (waitpid(guard_, &wait_status_, 0) < 0 && errno == EINTR) {
  }
  guard_ = -1;
  if (ParseVerdict(verdict_)) return;
  // It could not see to its own processes; while they stand, they hold the other pipes.
  KillAll([this] { return MarkedProcesses(options_.marker); }, kKillSeconds, nullptr);
}

std::string Attempt::TakeText() {
  const bool ended = fds_[kOut] < 0;
  size_t keep = ended ? 0 : IncompleteUtf8(text_);
  // A last line feed is the command's, not the model's.
  if (absl::EndsWith(absl::string_view(text_), "\n")) keep = 1;
  std::string text = ToUtf8(absl::string_view(text_).substr(0, text_.size() - keep));
  text_.erase(0, text_.size() - keep);
  return text;
}

std::optional<std::pair<int, int>> Attempt::TakeProgress() {
  return std::exchange(progress_, std::nullopt);
}

void Attempt::Stop() {
  if (guard_ > 0) kill(guard_, SIGTERM);
}

std::optional<v1::Failure> Attempt::Judge() const {
  if (const std::optional<Verdict> verdict = ParseVerdict(verdict_)) {
    return JudgeAttempt(*verdict, error_);
  }
  return GuardDied(wait_status_, error_);
}

std::optional<v1::HostUse> Attempt::Used() const {
  const std::optional<Verdict> verdict = ParseVerdict(verdict_);
  if (!verdict) return std::nullopt;
  v1::HostUse use;
  use.set_wall_seconds(static_cast<double>(verdict->use.wall_us) / 1e6);
  use.set_cpu_seconds(static_cast<double>(verdict->use.cpu_us) / 1e6);
  use.set_memory_bytes(verdict->use.memory_bytes);
  use.set_process_bytes(verdict->use.process_bytes);
  return use;
}

}  // namespace lockstep
