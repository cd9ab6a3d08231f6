#pragma once
// Small files for the import tests: a folder of their own, safetensors put together by hand, and
// the way to the shared samples, which may be absent.

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

class TempFolder {
 public:
  TempFolder() {
    path_ = (std::filesystem::temp_directory_path() / "lockstep-").string() + std::string(6, 'X');
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  // Writes a file of the folder and returns its path.
  std::string Write(const std::string& name, std::string_view content) const {
    const std::string path = path_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

 private:
  std::string path_;
};

// Eight bytes of length, the header as given, then `data`.
inline std::string SafetensorsWithLength(uint64_t length, std::string_view header,
                                         std::string_view data = "") {
  std::string file;
  for (int i = 0; i < 8; ++i) file.push_back(static_cast<char>(length >> (8 * i)));
  return file.append(header).append(data);
}
inline std::string Safetensors(std::string_view header, std::string_view data = "") {
  return SafetensorsWithLength(header.size(), header, data);
}

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

inline std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A place among the shared samples, "" when they are not on this machine.
inline std::string SharedPath(const std::string& name) {
  const char* const given = std::getenv("LOCKSTEP_SHARED");
  const std::string root = given ? given : LOCKSTEP_SOURCE_DIR "/../shared";
  const std::string path = root + "/" + name;
  return std::filesystem::exists(path) ? path : "";
}

inline std::string ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace lockstep
