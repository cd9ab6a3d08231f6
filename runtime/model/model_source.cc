// Folder, file or name (runtime/model/model_source.h).
#include "runtime/model/model_source.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/files/mapped_file.h"

namespace lockstep {

absl::StatusOr<ModelConfig> FindModelShape(const std::string& name) {
  std::error_code error;
  if (std::filesystem::is_directory(name, error)) return LoadModelConfig(name);
  if (absl::EndsWith(name, ".json")) {
    ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(name));
    return ParseModelConfig(file.text(), file.path());
  }
  absl::StatusOr<ModelConfig> shape = ShapeByName(name);
  if (shape.ok()) return shape;
  return absl::NotFoundError(absl::StrCat("--model ", name, ": no such folder, and ",
                                          std::string(shape.status().message())));
}

std::string ModelTitle(const std::string& name) {
  std::filesystem::path path = std::filesystem::path(name).lexically_normal();
  if (path.filename() == "config.json" && path.has_parent_path()) path = path.parent_path();
  if (!path.has_filename()) path = path.parent_path();  // after a last slash
  return path.has_filename() ? path.filename().string() : name;
}

}  // namespace lockstep
