// Parsing of message sizes (runtime/comparison/message_sizes.h).
#include "runtime/comparison/message_sizes.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "chip/check.h"

namespace lockstep {
namespace {

constexpr size_t kMostSizes = 256;

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("message size \"", text, "\": ", why));
}

}  // namespace

absl::StatusOr<int64_t> ParseMessageSize(absl::string_view text, int64_t most) {
  absl::string_view digits = text;
  int shift = 0;
  if (!digits.empty()) {
    switch (digits.back()) {
      case 'k':
      case 'K':
        shift = 10;
        break;
      case 'm':
      case 'M':
        shift = 20;
        break;
      case 'g':
      case 'G':
        shift = 30;
        break;
      default:
        break;
    }
    if (shift > 0) digits.remove_suffix(1);
  }
  int64_t value = 0;
  if (!absl::SimpleAtoi(digits, &value)) return Bad(text, "need a number, such as 8, 4K, 1M, 8G");
  if (value < 1) return Bad(text, "need at least 1 B");
  if (value > most >> shift) return Bad(text, absl::StrCat("more than ", most, " B"));
  return value << shift;
}

absl::StatusOr<std::vector<int64_t>> ParseMessageSizes(absl::string_view text, int64_t most) {
  std::vector<int64_t> sizes;
  const std::vector<std::string> range = absl::StrSplit(text, ':');
  if (range.size() == 1) {
    for (absl::string_view part : absl::StrSplit(text, ',')) {
      if (sizes.size() == kMostSizes) return Bad(text, absl::StrCat("more than ", kMostSizes));
      ASSIGN_OR_RETURN(const int64_t size, ParseMessageSize(part, most));
      sizes.push_back(size);
    }
    return sizes;
  }
  if (range.size() != 3) return Bad(text, "need FIRST:LAST:FACTOR or a list of sizes");
  ASSIGN_OR_RETURN(const int64_t first, ParseMessageSize(range[0], most));
  ASSIGN_OR_RETURN(const int64_t last, ParseMessageSize(range[1], most));
  ASSIGN_OR_RETURN(const int64_t factor, ParseMessageSize(range[2], most));
  if (factor < 2) return Bad(text, "need a factor of at least 2");
  if (first > last) return Bad(text, "the first is larger than the last");
  for (int64_t size = first; size <= last; size *= factor) {
    sizes.push_back(size);
    if (size > std::numeric_limits<int64_t>::max() / factor) break;
  }
  return sizes;
}

std::string MessageSizeText(int64_t bytes) {
  constexpr const char* kSuffixes[] = {"", "K", "M", "G"};
  int i = 0;
  while (i < 3 && bytes % 1024 == 0 && bytes > 0) bytes /= 1024, ++i;
  return absl::StrCat(bytes, kSuffixes[i]);
}

}  // namespace lockstep
