// Traffic as a table (runtime/machine/link_traffic.h).
#include "runtime/machine/link_traffic.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "chip/latency.h"

namespace lockstep {

std::string LinkTrafficCsv(const Wiring& wiring, const std::vector<LinkTraffic>& traffic,
                           int64_t cycles) {
  LOCKSTEP_CHECK(cycles > 0, "%d cycles", cycles);
  std::vector<int64_t> vectors(wiring.wires().size(), 0);
  for (const LinkTraffic& load : traffic) {
    const int32_t wire = wiring.outgoing(load.from, load.port);
    LOCKSTEP_CHECK(wire >= 0, "chip%d port %d has no cable", load.from, load.port);
    vectors[wire] = load.vectors;
  }
  std::string text = "from,port,to,vectors,busy_share\n";
  for (uint32_t chip = 0; chip < wiring.chips(); ++chip) {
    for (int port = 0; port < kLinksPerChip; ++port) {
      const int32_t wire = wiring.outgoing(chip, port);
      if (wire < 0) continue;
      const double busy = static_cast<double>(vectors[wire] * wiring.vector_ticks()) /
                          static_cast<double>(cycles * kTicksPerCycle);
      absl::StrAppend(&text, chip, ",", port, ",", wiring.wires()[wire].to_chip, ",",
                      vectors[wire], ",", absl::StrFormat("%.4f", busy), "\n");
    }
  }
  return text;
}

}  // namespace lockstep
