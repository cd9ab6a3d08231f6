// JSON of a collective (runtime/collectives/collective_report.h).
#include "runtime/collectives/collective_report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"

namespace lockstep {

std::string CollectiveJson(const CollectiveOutcome& o) {
  using Json = nlohmann::ordered_json;
  Json json = {{"version", 1},
               {"kind", Name(o.kind)},
               {"algorithm", Name(o.algorithm)},
               {"topology", o.topology},
               {"chips", o.chips},
               {"chips_per_node", o.chips_per_node},
               {"links", o.links},
               {"bytes", o.bytes},
               {"padded_bytes", o.padded_bytes},
               {"sram_bytes", o.sram_bytes},
               {"programs", o.programs},
               {"cycles", o.cycles},
               {"time_us", o.Microseconds()},
               {"algbw_GBps", o.AlgorithmBandwidth()},
               {"busbw_GBps", o.BusBandwidth()},
               {"vectors", o.vectors},
               {"link_share", o.link_share},
               {"timing_digest", absl::StrFormat("%016x", o.timing_digest)}};
  if (o.value_digest != 0) {
    json["value_digest"] = absl::StrFormat("%016x", o.value_digest);
    json["max_error"] = o.max_error;
  }
  json["host"] = {{"compile_seconds", o.compile_seconds},
                  {"verify_seconds", o.verify_seconds},
                  {"run_seconds", o.run_seconds}};
  return json.dump(2) + "\n";
}

}  // namespace lockstep
