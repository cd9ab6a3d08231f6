#pragma once
// Numbers of things as people write them.

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace lockstep {

// "1 node", "3 nodes"; `plural` where it is not the noun and an s.
inline std::string Counted(int64_t n, const char* noun, const char* plural = nullptr) {
  if (n == 1) return absl::StrCat("1 ", noun);
  return plural != nullptr ? absl::StrCat(n, " ", plural) : absl::StrCat(n, " ", noun, "s");
}

}  // namespace lockstep
