#pragma once
// One machine of GPUs as NCCL meets it: what its search finds (channels and their rate), what a
// port carries, and what steps of a thread block cost. A value (topologies/dgx-a100.textproto,
// ...), read by runtime/comparison/gpu_machine_file.h; every figure there names its source, and
// those that were calibrated are marked.
//
// What happens inside an SM is counted in cycles of its clock: it moves to another generation with
// the clock alone.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "fabric/nccl/call.h"

namespace lockstep::nccl {

enum class Generation : uint8_t { kVolta, kAmpere, kHopper, kBlackwell };
enum class Interconnect : uint8_t { kNvlink, kPci };

// Costs of thread blocks, in SM cycles; copy_bytes per 1024 of them.
struct Costs {
  int64_t launch_cycles = 0;  // between the end of a kernel and the first work of the next
  int64_t wire_cycles = 0;    // from a store to its sight at the peer
  int64_t ll_cycles = 0;      // one pass of all threads over their lines
  int64_t ll_doubling_cycles =
      0;                      // more for each doubling of the lines of a pass: the slowest counts
  int64_t ll128_cycles = 0;   // one pass of all threads over their lines
  int64_t simple_cycles = 0;  // a slice: waits, barriers, fence, flag
  int64_t nvls_cycles = 0;    // a chunk that the switch adds and stores: waits for all GPUs
  int64_t copy_bytes = 0;     // that a block moves

  bool operator==(const Costs&) const = default;
};

// The host's part, which only measurements with one process for all GPUs show.
struct SerialLaunch {
  int64_t gpu_ns = 0;      // to launch the kernel of one GPU
  int64_t channel_ns = 0;  // and for each channel of it
  int64_t overlap_ns = 0;  // of a kernel's time that hides behind launching

  bool operator==(const SerialLaunch&) const = default;
};

struct Machine {
  std::string name;
  Version version{17, 1};  // of NCCL unless the user says another
  int gpus = 8;
  Generation generation = Generation::kAmpere;
  Interconnect interconnect = Interconnect::kNvlink;
  int sm_clock_mhz = 0;
  int channels = 0;             // thread blocks a GPU
  int search_channels = 0;      // of the graph, before doubling
  int channel_mb_per_s = 0;     // of each of those; their product is the "bus" of NCCL's model
  int port_mb_per_s = 0;        // what a GPU's links carry each way, of payload in whole packets
  int pin_mb_per_s = 0;         // their raw rate each way
  int nvls_channels = 0;        // 0: no multicast in the switch
  int nvls_heads_mb_per_s = 0;  // of NCCL's model, each of `gpus` heads
  int multicast_mb_per_s = 0;   // what a port carries of multicast and reduced data
  Costs costs;
  bool has_serial = false;  // whether `serial` was measured
  SerialLaunch serial;

  bool operator==(const Machine&) const = default;
};

// InvalidArgument names the field, its value and what is allowed.
absl::Status ValidateMachine(const Machine& machine);

}  // namespace lockstep::nccl
