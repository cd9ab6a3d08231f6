// Fuzz target: any bytes as a file of a report's page; the first one says which. Whatever they are,
// there is a whole page, of bounded size, with nothing in it that would run.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "chip/check.h"
#include "runtime/pages/page.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static constexpr std::array<const char*, 5> kFiles = {"report.json", "links.csv",
                                                        "timeline.json", "report.csv", "table.txt"};
  if (size < 1) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const lockstep::PageJob job{"fuzz", {{kFiles[data[0] % kFiles.size()], text}}};
  const std::string page = lockstep::ReportPage({job, job});
  LOCKSTEP_CHECK(absl::EndsWith(page, "</html>\n"), "%d B", page.size());
  LOCKSTEP_CHECK(!absl::StrContains(page, "<script"), "a script");
  LOCKSTEP_CHECK(page.size() < (8u << 20) + 200 * size, "%d B of %d", page.size(), size);
  return 0;
}
