#pragma once
// Message sizes as nccl-tests and users write them: "8:8G:2" (first, last, factor), "1K,4K,1M",
// "64". Suffixes K, M, G are binary.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep {

// InvalidArgument: no number, 0, negative, beyond `most`; a factor below 2; first above last; more
// than 256 sizes.
absl::StatusOr<std::vector<int64_t>> ParseMessageSizes(absl::string_view text, int64_t most);
absl::StatusOr<int64_t> ParseMessageSize(absl::string_view text, int64_t most);

// The shortest of those forms: "4M", "786432".
std::string MessageSizeText(int64_t bytes);

}  // namespace lockstep
