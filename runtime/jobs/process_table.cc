// Readers of /proc (runtime/jobs/process_table.h). Whatever vanishes while it is read is gone.
#include "runtime/jobs/process_table.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <system_error>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lockstep {
namespace {

constexpr size_t kLongestRead = 1 << 20;

std::string ReadProc(pid_t process, const char* file) {
  const int fd = open(absl::StrCat("/proc/", process, "/", file).c_str(), O_RDONLY | O_CLOEXEC);
  std::string text;
  char buffer[4096];
  ssize_t n;
  while (fd >= 0 && text.size() < kLongestRead && (n = read(fd, buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(n));
  }
  if (fd >= 0) close(fd);
  return text;
}

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> all;
  DIR* proc = opendir("/proc");
  while (const dirent* entry = proc != nullptr ? readdir(proc) : nullptr) {
    pid_t process = 0;
    if (absl::SimpleAtoi(entry->d_name, &process)) all.push_back(process);
  }
  if (proc != nullptr) closedir(proc);
  return all;
}

struct Stat {
  char state = 'Z';
  pid_t parent = 0;
};

// "17 (name) S 16 ...": the name may hold anything, so what counts begins after the last ')'.
Stat ReadStat(pid_t process) {
  const std::string text = ReadProc(process, "stat");
  const size_t name_end = text.rfind(") ");
  Stat stat;
  if (name_end == std::string::npos || name_end + 4 >= text.size()) return stat;
  stat.state = text[name_end + 2];
  const std::vector<std::string> rest =
      absl::StrSplit(absl::string_view(text).substr(name_end + 4), absl::MaxSplits(' ', 1));
  (void)absl::SimpleAtoi(rest[0], &stat.parent);
  return stat;
}

bool Runs(char state) { return state != 'Z' && state != 'X'; }

}  // namespace

std::vector<pid_t> DescendantsOf(pid_t root) {
  std::multimap<pid_t, pid_t> children;
  std::map<pid_t, bool> runs;
  for (const pid_t process : AllProcesses()) {
    const Stat stat = ReadStat(process);
    children.emplace(stat.parent, process);
    runs[process] = Runs(stat.state);
  }
  std::vector<pid_t> found = {root};
  for (size_t i = 0; i < found.size(); ++i) {
    const auto [begin, end] = children.equal_range(found[i]);
    for (auto it = begin; it != end; ++it) found.push_back(it->second);
  }
  found.erase(found.begin());
  std::erase_if(found, [&runs](pid_t process) { return !runs[process]; });
  return found;
}

std::vector<pid_t> MarkedProcesses(absl::string_view marker) {
  const std::string wanted = absl::StrCat(kJobMarker, "=", marker);
  std::vector<pid_t> found;
  for (const pid_t process : AllProcesses()) {
    if (process == getpid()) continue;
    const std::string environment = ReadProc(process, "environ");
    for (absl::string_view variable : absl::StrSplit(environment, '\0')) {
      if (absl::ConsumePrefix(&variable, wanted) && Runs(ReadStat(process).state)) {
        found.push_back(process);
      }
    }
  }
  return found;
}

bool KillAll(const std::function<std::vector<pid_t>()>& list, int seconds,
             const std::function<void()>& between) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + std::chrono::seconds(seconds);
  while (true) {
    const std::vector<pid_t> left = list();
    if (left.empty()) return true;
    if (Clock::now() > end) return false;
    for (const pid_t process : left) kill(process, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (between) between();
  }
}

int64_t MemoryOf(const std::vector<pid_t>& processes) {
  int64_t kilobytes = 0;
  for (const pid_t process : processes) {
    const std::string text = ReadProc(process, "smaps_rollup");
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      int64_t value = 0;
      if (!absl::ConsumePrefix(&line, "Pss_Anon:") && !absl::ConsumePrefix(&line, "Pss_Shmem:")) {
        continue;
      }
      absl::ConsumeSuffix(&line, "kB");
      if (absl::SimpleAtoi(line, &value)) kilobytes += value;
    }
  }
  return kilobytes * 1024;
}

int64_t BytesBelow(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  int64_t bytes = 0;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code gone;
    const uintmax_t size = it->is_regular_file(gone) ? it->file_size(gone) : 0;
    if (!gone) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

}  // namespace lockstep
