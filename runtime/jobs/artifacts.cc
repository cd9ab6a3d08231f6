// sync, rename, sync (runtime/jobs/artifacts.h).
#include "runtime/jobs/artifacts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/files/atomic_file.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

struct Closer {
  int fd;
  ~Closer() {
    if (fd >= 0) close(fd);
  }
};
struct FreeXxh {
  void operator()(XXH64_state_t* state) const { XXH64_freeState(state); }
};

absl::Status FileError(absl::string_view tried, const std::string& path) {
  return absl::UnavailableError(
      absl::StrCat("cannot ", tried, " ", path, ": ", std::strerror(errno)));
}

absl::Status SyncFolder(const std::string& path) {
  const Closer folder{open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.fd < 0 || fsync(folder.fd) != 0) return FileError("sync", path);
  return absl::OkStatus();
}

// False: there is no such regular file.
absl::StatusOr<bool> SyncAndHash(const std::string& path, v1::Artifact* artifact) {
  const Closer file{open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
  struct stat info;
  if (file.fd < 0 || fstat(file.fd, &info) != 0 || !S_ISREG(info.st_mode)) return false;
  const std::unique_ptr<XXH64_state_t, FreeXxh> hash(XXH64_createState());
  XXH64_reset(hash.get(), 0);
  std::string buffer(1 << 16, '\0');
  int64_t bytes = 0;
  ssize_t n;
  while ((n = read(file.fd, buffer.data(), buffer.size())) > 0) {
    XXH64_update(hash.get(), buffer.data(), static_cast<size_t>(n));
    bytes += n;
  }
  if (n < 0) return FileError("read", path);
  if (fsync(file.fd) != 0) return FileError("sync", path);
  artifact->set_bytes(bytes);
  artifact->set_xxh64(XXH64_digest(hash.get()));
  return true;
}

}  // namespace

absl::StatusOr<std::vector<StoredArtifact>> CollectArtifacts(const std::string& folder,
                                                             const std::string& final_folder,
                                                             const std::vector<std::string>& names,
                                                             const std::string& log) {
  std::error_code error;
  // An earlier call may have come this far.
  const std::string& now = fs::exists(folder, error) ? folder : final_folder;
  std::vector<std::string> wanted = names;
  if (!log.empty()) {
    RETURN_IF_ERROR(WriteAtomically(absl::StrCat(now, "/", kLogArtifact), log));
    wanted.push_back(kLogArtifact);
  }
  std::vector<fs::path> others;
  for (fs::directory_iterator it(now, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) others.push_back(it->path());
  }
  for (const fs::path& path : others) fs::remove_all(path, error);
  std::vector<StoredArtifact> artifacts;
  for (const std::string& name : wanted) {
    StoredArtifact stored;
    ASSIGN_OR_RETURN(const bool there, SyncAndHash(absl::StrCat(now, "/", name), &stored.artifact));
    if (!there) continue;
    stored.artifact.set_name(name);
    stored.path = absl::StrCat(fs::path(final_folder).filename().string(), "/", name);
    artifacts.push_back(std::move(stored));
  }
  RETURN_IF_ERROR(SyncFolder(now));
  if (now == folder && rename(folder.c_str(), final_folder.c_str()) != 0) {
    return FileError("rename", folder);
  }
  RETURN_IF_ERROR(SyncFolder(fs::path(final_folder).parent_path().string()));
  return artifacts;
}

}  // namespace lockstep
