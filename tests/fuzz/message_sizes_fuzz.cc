// Fuzz target: any bytes as message sizes. Accepted ones are in range, and their text means the
// same.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "chip/check.h"
#include "runtime/comparison/message_sizes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kMost = int64_t{16} << 30;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto sizes = lockstep::ParseMessageSizes(text, kMost);
  if (!sizes.ok()) return 0;
  LOCKSTEP_CHECK(!sizes->empty() && sizes->size() <= 256, "%d sizes", sizes->size());
  for (int64_t bytes : *sizes) {
    LOCKSTEP_CHECK(bytes >= 1 && bytes <= kMost, "%d B", bytes);
    const auto again = lockstep::ParseMessageSize(lockstep::MessageSizeText(bytes), kMost);
    LOCKSTEP_CHECK(again.ok() && *again == bytes, "%d B", bytes);
  }
  return 0;
}
