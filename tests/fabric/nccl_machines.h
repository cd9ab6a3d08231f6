#pragma once
// Machines for tests of the NCCL baseline: as topologies/dgx-*.textproto, written down here since
// fabric/ reads no files.

#include "fabric/nccl/machine.h"

namespace lockstep::nccl {

inline Machine Ampere() {
  Machine m;
  m.name = "ampere";
  m.sm_clock_mhz = 1410;
  m.channels = 24, m.search_channels = 12, m.channel_mb_per_s = 20'000;
  m.port_mb_per_s = 235'000, m.pin_mb_per_s = 300'000;
  m.costs = {12'000, 550, 590, 200, 2'350, 5'750, 0, 8'400};
  m.has_serial = true;
  m.serial = {4'200, 194, 17'500};
  return m;
}

inline Machine Hopper() {
  Machine m = Ampere();
  m.name = "hopper", m.version = Version(21, 5), m.generation = Generation::kHopper;
  m.sm_clock_mhz = 1980, m.channel_mb_per_s = 30'000;
  m.port_mb_per_s = 370'000, m.pin_mb_per_s = 450'000;
  m.nvls_channels = 16, m.nvls_heads_mb_per_s = 40'000, m.multicast_mb_per_s = 308'000;
  m.costs.nvls_cycles = 24'000, m.costs.copy_bytes = 9'100;
  return m;
}

}  // namespace lockstep::nccl
