// Plain system calls, since a stream would hide which of them failed.
#include "runtime/files/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

constexpr size_t kBufferBytes = 1 << 16;

}  // namespace

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  struct stat info;
  const bool exists = stat(path.c_str(), &info) == 0;
  const bool in_place = exists && !S_ISREG(info.st_mode);
  std::string temporary = in_place ? "" : absl::StrCat(path, ".tmp.", getpid());
  const int flags = in_place ? O_WRONLY : O_WRONLY | O_CREAT | O_TRUNC;
  AtomicFile file(path, temporary, -1);
  file.fd_ = open(in_place ? path.c_str() : temporary.c_str(), flags | O_CLOEXEC, 0666);
  if (file.fd_ < 0) return file.Error("create");
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept { *this = std::move(other); }

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this == &other) return *this;
  Discard();
  path_ = std::move(other.path_);
  temporary_ = std::move(other.temporary_);
  buffer_ = std::move(other.buffer_);
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Discard() {
  if (fd_ < 0) return;
  close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

absl::Status AtomicFile::Error(absl::string_view tried) const {
  return absl::UnavailableError(
      absl::StrCat("cannot ", tried, " ", path_, ": ", std::strerror(errno)));
}

absl::Status AtomicFile::Append(absl::string_view bytes) {
  buffer_.append(bytes.data(), bytes.size());
  return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
}

absl::Status AtomicFile::Flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n = write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error("write");
    done += static_cast<size_t>(n);
  }
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  LOCKSTEP_CHECK(fd_ >= 0, "%s was committed already", path_);
  RETURN_IF_ERROR(Flush());
  if (!temporary_.empty() && fsync(fd_) != 0) return Error("write");
  if (close(std::exchange(fd_, -1)) != 0) return Error("write");
  if (temporary_.empty() || rename(temporary_.c_str(), path_.c_str()) == 0) {
    return absl::OkStatus();
  }
  const absl::Status error = Error("rename the finished file to");
  unlink(temporary_.c_str());
  return error;
}

absl::Status WriteAtomically(const std::string& path, absl::string_view bytes) {
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  RETURN_IF_ERROR(file.Append(bytes));
  return file.Commit();
}

}  // namespace lockstep
