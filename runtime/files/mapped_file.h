#pragma once
// A whole file mapped read-only into memory, so that a 140 GB checkpoint costs address space and
// only the pages that are read. The bytes live as long as the MappedFile; a move keeps them where
// they are. A file that is shortened by somebody while it is mapped ends the process (SIGBUS).

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace lockstep {

class MappedFile {
 public:
  // Errors name the path: NotFound (missing), InvalidArgument (directory, device, empty),
  // PermissionDenied, or Unknown with the system's reason.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const uint8_t* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}
  void Unmap();

  std::string path_;
  const uint8_t* data_ = nullptr;  // owned mapping; null only after a move
  size_t size_ = 0;
};

}  // namespace lockstep
