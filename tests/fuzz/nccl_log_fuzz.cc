// Fuzz target: any bytes as a table of measured times. What is accepted is positive and finite.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "chip/check.h"
#include "runtime/comparison/nccl_log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kMost = int64_t{16} << 30;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto rows = lockstep::ParseNcclLog(text, "fuzz", kMost);
  if (!rows.ok()) return 0;
  LOCKSTEP_CHECK(!rows->empty(), "no rows");
  for (const lockstep::MeasuredTime& row : *rows) {
    LOCKSTEP_CHECK(row.bytes >= 1 && row.bytes <= kMost, "%d B", row.bytes);
    LOCKSTEP_CHECK(row.time_us > 0 && std::isfinite(row.time_us), "%f us", row.time_us);
  }
  return 0;
}
