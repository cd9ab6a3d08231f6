// Tokens and addresses (runtime/controller/auth.h).
#include "runtime/controller/auth.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lockstep {
namespace {

constexpr size_t kMaxTokenBytes = 4096, kMinTokenBytes = 16;

// "127.0.0.1" exactly: four numbers, the first 127.
bool IsLoopbackV4(absl::string_view host) {
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  for (const absl::string_view part : parts) {
    int number = 0;
    if (part.size() > 3 || !absl::SimpleAtoi(part, &number) || number < 0 || number > 255) {
      return false;
    }
  }
  return parts.size() == 4 && parts[0] == "127";
}

}  // namespace

bool IsUnixAddress(absl::string_view address) { return absl::StartsWith(address, "unix:"); }

bool IsLocalAddress(absl::string_view address) {
  if (IsUnixAddress(address)) return true;
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return false;
  const absl::string_view host = address.substr(0, colon);
  return host == "localhost" || host == "[::1]" || IsLoopbackV4(host);
}

bool SameSecret(absl::string_view expected, absl::string_view given) {
  if (expected.empty()) return false;
  size_t differs = expected.size() ^ given.size();
  for (size_t i = 0; i < given.size(); ++i) {
    differs |= static_cast<uint8_t>(given[i]) ^ static_cast<uint8_t>(expected[i % expected.size()]);
  }
  return differs == 0;
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) {
    const std::string why = std::strerror(errno);
    if (fd >= 0) close(fd);
    return absl::NotFoundError(absl::StrCat("token file ", path, ": ", why));
  }
  std::string text(kMaxTokenBytes + 1, '\0');
  const ssize_t n = read(fd, text.data(), text.size());
  close(fd);
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("token file ", path, " can be read by others; chmod 600 it"));
  }
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  const absl::string_view all = text;
  const std::string token(absl::StripAsciiWhitespace(all.substr(0, all.find('\n'))));
  if (token.size() < kMinTokenBytes || token.size() > kMaxTokenBytes) {
    return absl::InvalidArgumentError(absl::StrCat("token file ", path, ": its first line must be ",
                                                   kMinTokenBytes, "..", kMaxTokenBytes,
                                                   " bytes of token"));
  }
  return token;
}

void TokenCheck::Set(std::string token) {
  const std::lock_guard lock(mutex_);
  token_ = std::move(token);
}

absl::Status TokenCheck::Check(const grpc::ServerContextBase& context) const {
  const std::lock_guard lock(mutex_);
  if (token_.empty()) return absl::OkStatus();
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto it = begin; it != end; ++it) {
    absl::string_view value(it->second.data(), it->second.size());
    if (absl::ConsumePrefix(&value, "Bearer ") && SameSecret(token_, value)) {
      return absl::OkStatus();
    }
  }
  return absl::UnauthenticatedError("a token is needed: metadata `authorization: Bearer TOKEN`");
}

}  // namespace lockstep
