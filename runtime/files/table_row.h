#pragma once
// A row of the tables that commands print: a label, padded to one width in all of them, and its text.

#include <string>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace lockstep {

inline std::string Row(absl::string_view label, const std::string& text) {
  return absl::StrFormat("  %-22s%s\n", label, text);
}

}  // namespace lockstep
