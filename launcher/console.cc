// The terminal (launcher/console.h).
#include "launcher/console.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lockstep {

void DrawProgress(int done, int of) {
  if (done < of) {
    std::fprintf(stderr, "\r\033[Kstep %d of %d", done, of);
  } else {
    std::fputs("\r\033[K", stderr);
  }
  std::fflush(stderr);
}

void PrintProgress(int done, int of) {
  std::fprintf(stderr, "%s%d/%d\n", kProgressPrefix, done, of);
}

bool WantsProgress(const RunOptions& options) {
  const bool text = isatty(STDOUT_FILENO) && options.engine == EngineKind::kFunctional;
  return isatty(STDERR_FILENO) && !text;
}

RunView ConsoleView(const RunOptions& options, std::function<void(int, int)> progress) {
  RunView view;
  const bool text = options.engine == EngineKind::kFunctional;
  if (text) {
    view.text = [](absl::string_view part) {
      std::fwrite(part.data(), 1, part.size(), stdout);
      std::fflush(stdout);
    };
  }
  view.progress = std::move(progress);
  view.table = [quiet = options.quiet, text](absl::string_view table) {
    if (text) std::fputs(quiet ? "\n" : "\n\n", stdout);
    if (!quiet) std::fwrite(table.data(), 1, table.size(), stdout);
  };
  return view;
}

absl::Status FlushConsole() {
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write to standard output: ",
                                             errno != 0 ? std::strerror(errno) : "I/O error"));
}

}  // namespace lockstep
