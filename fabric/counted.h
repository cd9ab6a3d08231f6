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

// 1234567 -> "1,234,567".
inline std::string Grouped(int64_t number) {
  const std::string digits = absl::StrCat(number);
  const size_t first = number < 0 ? 1 : 0;
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > first && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

}  // namespace lockstep
