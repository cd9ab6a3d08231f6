// Reads what `lockstep run` says (launcher/mpirun.h) and what the guard saw
// (runtime/jobs/failure.h).
#include "runtime/jobs/failure.h"

#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lockstep {
namespace {

constexpr size_t kTailLines = 20, kTailBytes = 4096;

std::string Tail(absl::string_view text) {
  if (text.size() > kTailBytes) text.remove_prefix(text.size() - kTailBytes);
  std::vector<absl::string_view> lines = absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
  if (lines.size() > kTailLines) lines.erase(lines.begin(), lines.end() - kTailLines);
  return ToUtf8(absl::StrJoin(lines, "\n"));
}

// A signal that somebody sent, rather than one that the process brought upon itself.
bool FromOutside(int64_t signal) {
  return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGHUP;
}

std::optional<int> NumberAfter(absl::string_view text, absl::string_view words) {
  const size_t at = text.find(words);
  if (at == absl::string_view::npos) return std::nullopt;
  absl::string_view rest = text.substr(at + words.size());
  rest = rest.substr(0, rest.find_first_not_of("0123456789"));
  int value = 0;
  if (!absl::SimpleAtoi(rest, &value)) return std::nullopt;
  return value;
}

// What follows the last "lockstep: " that begins a line; the whole if there is none.
std::string LastWords(absl::string_view standard_error) {
  constexpr absl::string_view kPrefix = "lockstep: ";
  const size_t at = standard_error.rfind(absl::StrCat("\n", kPrefix));
  if (at != absl::string_view::npos) standard_error.remove_prefix(at + 1);
  absl::ConsumePrefix(&standard_error, kPrefix);
  return Tail(standard_error);
}

void JudgeExit(int64_t code, const std::string& words, v1::Failure& failure) {
  const absl::string_view text = words;
  failure.set_message(words.empty() ? absl::StrCat("ended with exit code ", code) : words);
  failure.set_reason(v1::Failure::EXIT);
  failure.set_exit_code(static_cast<int>(code));
  if (absl::StartsWith(text, "fault: ")) {
    failure.set_reason(v1::Failure::FAULT);
  } else if (const auto rank = NumberAfter(text, "rank "); rank && absl::StartsWith(text, "rank ")) {
    failure.set_reason(v1::Failure::RANK_DIED);
    failure.set_rank(*rank);
    failure.clear_exit_code();
    if (const auto signal = NumberAfter(text, "was ended by signal ")) {
      failure.set_signal(*signal);
      failure.set_transient(FromOutside(*signal));
      if (*signal == SIGXFSZ) failure.set_reason(v1::Failure::OUTPUT_LIMIT);
    } else if (const auto exit = NumberAfter(text, "ended with exit code ")) {
      failure.set_exit_code(*exit);
    }
  } else if (absl::StartsWith(text, "mpirun was ended by signal ")) {
    failure.set_reason(v1::Failure::MPIRUN_DIED);
    failure.set_signal(NumberAfter(text, "by signal ").value_or(0));
    failure.set_transient(FromOutside(failure.signal()));
  } else if (absl::StartsWith(text, "stopped by ") || absl::StartsWith(text, "mpirun failed")) {
    failure.set_reason(v1::Failure::MPIRUN_DIED);
    failure.set_transient(true);
  } else if (absl::StartsWith(text, "cannot start mpirun")) {
    failure.set_reason(v1::Failure::CANNOT_START);
  }
}

}  // namespace

std::optional<v1::Failure> JudgeAttempt(const Verdict& verdict, absl::string_view standard_error) {
  using Kind = Verdict::Kind;
  if (verdict.kind == Kind::kExited && verdict.value == 0) return std::nullopt;
  v1::Failure failure;
  failure.set_stderr_tail(Tail(standard_error));
  switch (verdict.kind) {
    case Kind::kExited:
      JudgeExit(verdict.value, LastWords(standard_error), failure);
      break;
    case Kind::kSignalled:
      failure.set_reason(verdict.value == SIGXFSZ ? v1::Failure::OUTPUT_LIMIT
                                                  : v1::Failure::MPIRUN_DIED);
      failure.set_signal(static_cast<int>(verdict.value));
      failure.set_transient(FromOutside(verdict.value));
      failure.set_message(absl::StrCat("the job's command was ended by signal ", verdict.value,
                                       " (", strsignal(static_cast<int>(verdict.value)), ")"));
      break;
    case Kind::kTimeLimit:
      failure.set_reason(v1::Failure::TIME_LIMIT);
      failure.set_message(absl::StrCat("not done after ", verdict.value, " s"));
      break;
    case Kind::kMemoryLimit:
      failure.set_reason(v1::Failure::MEMORY_LIMIT);
      failure.set_message(absl::StrCat("held ", verdict.value, " bytes of memory"));
      break;
    case Kind::kOutputLimit:
      failure.set_reason(v1::Failure::OUTPUT_LIMIT);
      failure.set_message(absl::StrCat("wrote ", verdict.value, " bytes"));
      break;
    case Kind::kStopped:
      failure.set_reason(v1::Failure::SUPERVISOR_DIED);
      failure.set_message("the process that watches the job was told to stop");
      failure.set_transient(true);
      break;
    case Kind::kCannotStart:
      failure.set_reason(v1::Failure::CANNOT_START);
      failure.set_message(absl::StrCat("cannot start the job's command: ",
                                       std::strerror(static_cast<int>(verdict.value))));
      break;
  }
  return failure;
}

v1::Failure GuardDied(int wait_status, absl::string_view standard_error) {
  v1::Failure failure;
  failure.set_reason(v1::Failure::SUPERVISOR_DIED);
  failure.set_stderr_tail(Tail(standard_error));
  if (WIFSIGNALED(wait_status)) {
    failure.set_signal(WTERMSIG(wait_status));
    failure.set_transient(FromOutside(failure.signal()));
    failure.set_message(absl::StrCat("the process that watches the job was ended by signal ",
                                     failure.signal(), " (", strsignal(failure.signal()), ")"));
  } else {
    failure.set_exit_code(WEXITSTATUS(wait_status));
    failure.set_message(absl::StrCat("the process that watches the job ended with exit code ",
                                     failure.exit_code()));
  }
  return failure;
}

namespace {

// Length of the character that begins with this byte; 0: none does.
size_t CharacterBytes(uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return 2;
  if (first >= 0xE0 && first <= 0xEF) return 3;
  return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

bool Continues(absl::string_view text, size_t at) {
  return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80;
}

// Of the character at `at`: its length if it is well-formed, else 0.
size_t WellFormed(absl::string_view text, size_t at) {
  const auto first = static_cast<uint8_t>(text[at]);
  const size_t bytes = CharacterBytes(first);
  for (size_t i = 1; i < bytes; ++i) {
    if (!Continues(text, at + i)) return 0;
  }
  if (bytes < 3) return bytes;
  const auto second = static_cast<uint8_t>(text[at + 1]);
  const bool too_long = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second > 0x9F;
  return too_long || surrogate || (first == 0xF4 && second > 0x8F) ? 0 : bytes;
}

}  // namespace

std::string ToUtf8(absl::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = WellFormed(text, at);
    absl::StrAppend(&out, bytes == 0 ? absl::string_view("\xEF\xBF\xBD") : text.substr(at, bytes));
    at += bytes == 0 ? 1 : bytes;
  }
  return out;
}

size_t IncompleteUtf8(absl::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    if (Continues(text, at)) continue;
    return CharacterBytes(static_cast<uint8_t>(text[at])) > back ? back : 0;
  }
  return 0;
}

}  // namespace lockstep
