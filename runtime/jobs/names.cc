// Names of models and topologies inside their roots (runtime/jobs/request.h).
#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fabric/topology.h"
#include "runtime/files/strict_json.h"
#include "runtime/jobs/request.h"
#include "runtime/machine/topology_file.h"
#include "runtime/model/model_config.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestName = 128;

// `root`/`name` without links, if it is a folder below root; else empty.
std::string FolderBelow(const std::string& root, const std::string& name) {
  std::error_code error;
  const fs::path real_root = fs::canonical(root, error);
  if (error) return "";
  const fs::path path = fs::canonical(real_root / name, error);
  if (error || path.parent_path() != real_root || !fs::is_directory(path, error)) return "";
  return path.string();
}

v1::ModelInfo Describe(const std::string& name, const absl::StatusOr<ModelConfig>& config,
                       bool has_weights) {
  v1::ModelInfo info;
  info.set_name(name);
  info.set_has_weights(has_weights);
  if (config.ok()) {
    info.set_parameters(config->ParameterCount());
    info.set_max_context(config->max_context());
  } else {
    info.set_problem(std::string(config.status().message()));
  }
  return info;
}

}  // namespace

bool IsName(absl::string_view name) {
  if (name.empty() || name.size() > kLongestName || name[0] == '.' || name[0] == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
}

absl::StatusOr<std::string> ResolveModel(const JobRoots& roots, const std::string& name,
                                         bool weights) {
  if (!IsName(name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(name), " is no name of a model: letters, digits, '.', '_', '-', at most ",
        kLongestName));
  }
  for (const std::string& root : roots.models) {
    std::string folder = FolderBelow(root, name);
    if (!folder.empty()) return folder;
  }
  const bool shape = ShapeByName(name).ok();
  if (shape && !weights) return name;
  return absl::NotFoundError(
      absl::StrCat("no model ", name, shape ? " with weights; its shape alone is known" : ""));
}

std::vector<v1::ModelInfo> ListModels(const JobRoots& roots) {
  std::vector<v1::ModelInfo> models;
  std::set<std::string> seen;
  for (const std::string& root : roots.models) {
    std::error_code error;
    std::vector<std::string> names;
    for (fs::directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
      names.push_back(it->path().filename().string());
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      const std::string folder = IsName(name) ? FolderBelow(root, name) : "";
      if (folder.empty() || !fs::exists(fs::path(folder) / "config.json", error)) continue;
      if (seen.insert(name).second) models.push_back(Describe(name, LoadModelConfig(folder), true));
    }
  }
  for (const std::string_view shape : ShapeNames()) {
    const std::string name(shape);
    if (seen.insert(name).second) models.push_back(Describe(name, ShapeByName(shape), false));
  }
  return models;
}

std::vector<v1::TopologyInfo> ListTopologies(const JobRoots& roots) {
  std::vector<v1::TopologyInfo> topologies;
  for (const std::string& name : KnownTopologies(roots.topologies)) {
    const absl::StatusOr<TopologySpec> spec = LoadTopology(name, roots.topologies);
    if (!spec.ok() || !IsName(name)) continue;
    v1::TopologyInfo& info = topologies.emplace_back();
    info.set_name(name);
    info.set_rules(spec->ToString());
    info.set_chips(spec->ChipCount());
  }
  return topologies;
}

}  // namespace lockstep
