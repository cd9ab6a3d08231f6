// Limits of what a machine may say of itself.
#include "fabric/nccl/machine.h"

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep::nccl {
namespace {

absl::Status InRange(const char* field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, "; need ", low, " to ", high));
}

constexpr int kMaxChannels = 64, kMaxMbPerS = 10'000'000;
constexpr int64_t kMaxCycles = 1'000'000, kMaxBytes = int64_t{1} << 24;

absl::Status ValidateCosts(const Costs& c) {
  RETURN_IF_ERROR(InRange("costs.launch_cycles", c.launch_cycles, 0, kMaxCycles));
  RETURN_IF_ERROR(InRange("costs.wire_cycles", c.wire_cycles, 0, kMaxCycles));
  RETURN_IF_ERROR(InRange("costs.ll_cycles", c.ll_cycles, 1, kMaxCycles));
  RETURN_IF_ERROR(InRange("costs.ll_doubling_cycles", c.ll_doubling_cycles, 0, kMaxCycles));
  RETURN_IF_ERROR(InRange("costs.ll128_cycles", c.ll128_cycles, 1, kMaxCycles));
  RETURN_IF_ERROR(InRange("costs.simple_cycles", c.simple_cycles, 1, kMaxCycles));
  RETURN_IF_ERROR(InRange("costs.nvls_cycles", c.nvls_cycles, 0, kMaxCycles));
  return InRange("costs.copy_bytes", c.copy_bytes, 1, kMaxBytes);
}

}  // namespace

absl::Status ValidateMachine(const Machine& m) {
  RETURN_IF_ERROR(InRange("gpus", m.gpus, 2, 8));
  RETURN_IF_ERROR(InRange("sm_clock_mhz", m.sm_clock_mhz, 100, 10'000));
  RETURN_IF_ERROR(InRange("channels", m.channels, 1, kMaxChannels));
  RETURN_IF_ERROR(InRange("search_channels", m.search_channels, 1, kMaxChannels));
  RETURN_IF_ERROR(InRange("channel_mb_per_s", m.channel_mb_per_s, 1, kMaxMbPerS));
  RETURN_IF_ERROR(InRange("port_mb_per_s", m.port_mb_per_s, 100, kMaxMbPerS));
  RETURN_IF_ERROR(InRange("pin_mb_per_s", m.pin_mb_per_s, m.port_mb_per_s, kMaxMbPerS));
  RETURN_IF_ERROR(InRange("nvls_channels", m.nvls_channels, 0, kMaxChannels));
  if (m.nvls_channels > 0) {
    RETURN_IF_ERROR(InRange("nvls_heads_mb_per_s", m.nvls_heads_mb_per_s, 1, kMaxMbPerS));
    RETURN_IF_ERROR(InRange("multicast_mb_per_s", m.multicast_mb_per_s, 100, kMaxMbPerS));
  }
  RETURN_IF_ERROR(InRange("serial.gpu_ns", m.serial.gpu_ns, 0, kMaxCycles));
  RETURN_IF_ERROR(InRange("serial.channel_ns", m.serial.channel_ns, 0, kMaxCycles));
  RETURN_IF_ERROR(InRange("serial.overlap_ns", m.serial.overlap_ns, 0, kMaxCycles));
  return ValidateCosts(m.costs);
}

}  // namespace lockstep::nccl
