#pragma once
// JSON from untrusted files: nlohmann's scanner driven event by event, so that a hostile text is
// refused while it is read and not after it has been built. Refused: nesting deeper than
// `max_depth`, more than `max_values` values, the same key twice in one object (the library
// would silently keep the last), invalid UTF-8, anything after the value.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace lockstep {

struct JsonLimits {
  int max_depth = 32;              // arrays and objects open at once
  int64_t max_values = 4'000'000;  // keeps what is built below about 1 GB
};

// The value of `text`, or an InvalidArgument error that begins with `origin` (a file's name).
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text, std::string_view origin,
                                               const JsonLimits& limits = {});

// Text of somebody else in an error message: quoted, escaped, and cut after 80 bytes.
std::string Quoted(std::string_view text);
// The same for a JSON value: its text as far as it is short, without walking a huge one.
std::string QuotedJson(const nlohmann::json& value);

}  // namespace lockstep
