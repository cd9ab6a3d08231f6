#pragma once
// Where a model's shape comes from, by what a user gave as its name.

#include <string>

#include "absl/status/statusor.h"
#include "runtime/model/model_config.h"

namespace lockstep {

// `name` is a folder with a config.json, a path of a .json file, or a published shape such as
// llama-2-70b (ShapeNames()), looked for in this order. Errors name what was tried.
absl::StatusOr<ModelConfig> FindModelShape(const std::string& name);

// What reports call it: "story" for "/srv/models/story/" and "/srv/models/story/config.json", so that
// they are the same on every host; other names as they are.
std::string ModelTitle(const std::string& name);

}  // namespace lockstep
