#pragma once
// A file that appears whole or not at all: written under a temporary name beside the wanted one,
// brought to the disk, then renamed. What is no regular file (a pipe, /dev/full) is written in
// place.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep {

class AtomicFile {
 public:
  // Opens `path`.tmp.<process id>. Errors of all functions name `path` and the system's reason.
  static absl::StatusOr<AtomicFile> Create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  // Without Commit nothing stays.
  ~AtomicFile();

  const std::string& path() const { return path_; }
  absl::Status Append(absl::string_view bytes);
  // The file is there, on disk, under its name. Once, last.
  absl::Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  absl::Status Error(absl::string_view tried) const;
  absl::Status Flush();
  void Discard();

  std::string path_;
  std::string temporary_;  // empty: written in place
  int fd_ = -1;
  std::string buffer_;
};

// `bytes` as the whole of `path`.
absl::Status WriteAtomically(const std::string& path, absl::string_view bytes);

}  // namespace lockstep
