// Fuzz target: any bytes as a topology file. Bad ones are refused; what is accepted builds, and
// every link of it has its way back. Large ones are only cut down, to keep the fuzzer fast.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "chip/check.h"
#include "fabric/topology.h"
#include "runtime/machine/topology_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto spec = lockstep::ParseTopology(text, "fuzz");
  if (!spec.ok()) return 0;
  const auto topology = lockstep::Topology::Create(*spec);
  LOCKSTEP_CHECK(topology.ok(), "a file was accepted, its topology refused: %s",
                 topology.status().ToString());
  for (const lockstep::Link& link : topology->links()) topology->reverse(link);
  const auto part = topology->Subset(std::min(topology->num_chips(), 5));
  LOCKSTEP_CHECK(part.ok(), "%s", part.status().ToString());
  return 0;
}
