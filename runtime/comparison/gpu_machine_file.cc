// Reading files of GPU machines (runtime/comparison/gpu_machine_file.h).
#include "runtime/comparison/gpu_machine_file.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "lockstep/v1/gpu_machine.pb.h"
#include "runtime/files/textproto_file.h"

namespace lockstep {
namespace {

constexpr TextprotoKind kKind = {"GPU machine", "lockstep.v1.GpuMachine"};

// Copies figures and notes their origins; keeps the first error.
class Figures {
 public:
  explicit Figures(GpuMachine& machine) : machine_(machine) {}

  template <typename Integer>
  void Read(const char* name, bool present, const v1::Figure& from, Integer& to) {
    if (!error_.ok()) return;
    if (!present) {
      error_ = absl::InvalidArgumentError(absl::StrCat(name, " is missing"));
    } else if (from.source().empty()) {
      error_ = absl::InvalidArgumentError(absl::StrCat(name, " has no source"));
    } else if (from.value() < std::numeric_limits<Integer>::min() ||
               from.value() > std::numeric_limits<Integer>::max()) {
      error_ = absl::InvalidArgumentError(absl::StrCat(name, " is ", from.value(), ": too large"));
    }
    to = static_cast<Integer>(from.value());
    machine_.figures.push_back({name, from.value(), from.source(), from.calibrated()});
  }
  const absl::Status& error() const { return error_; }

 private:
  GpuMachine& machine_;
  absl::Status error_;
};

void ReadCosts(const v1::Costs& from, Figures& f, nccl::Costs& to) {
  f.Read("costs.launch_cycles", from.has_launch_cycles(), from.launch_cycles(), to.launch_cycles);
  f.Read("costs.wire_cycles", from.has_wire_cycles(), from.wire_cycles(), to.wire_cycles);
  f.Read("costs.ll_cycles", from.has_ll_cycles(), from.ll_cycles(), to.ll_cycles);
  f.Read("costs.ll_doubling_cycles", from.has_ll_doubling_cycles(), from.ll_doubling_cycles(),
         to.ll_doubling_cycles);
  f.Read("costs.ll128_cycles", from.has_ll128_cycles(), from.ll128_cycles(), to.ll128_cycles);
  f.Read("costs.simple_cycles", from.has_simple_cycles(), from.simple_cycles(), to.simple_cycles);
  f.Read("costs.nvls_cycles", from.has_nvls_cycles(), from.nvls_cycles(), to.nvls_cycles);
  f.Read("costs.copy_bytes", from.has_copy_bytes(), from.copy_bytes(), to.copy_bytes);
}

void ReadParts(const v1::GpuMachine& from, Figures& f, nccl::Machine& to) {
  f.Read("sm_clock_mhz", from.has_sm_clock_mhz(), from.sm_clock_mhz(), to.sm_clock_mhz);
  f.Read("channels", from.has_channels(), from.channels(), to.channels);
  f.Read("search_channels", from.has_search_channels(), from.search_channels(), to.search_channels);
  f.Read("channel_mb_per_s", from.has_channel_mb_per_s(), from.channel_mb_per_s(),
         to.channel_mb_per_s);
  f.Read("port_mb_per_s", from.has_port_mb_per_s(), from.port_mb_per_s(), to.port_mb_per_s);
  f.Read("pin_mb_per_s", from.has_pin_mb_per_s(), from.pin_mb_per_s(), to.pin_mb_per_s);
  if (from.has_nvls()) {
    const v1::Nvls& nvls = from.nvls();
    f.Read("nvls.channels", nvls.has_channels(), nvls.channels(), to.nvls_channels);
    f.Read("nvls.head_mb_per_s", nvls.has_head_mb_per_s(), nvls.head_mb_per_s(),
           to.nvls_heads_mb_per_s);
    f.Read("nvls.multicast_mb_per_s", nvls.has_multicast_mb_per_s(), nvls.multicast_mb_per_s(),
           to.multicast_mb_per_s);
  }
  ReadCosts(from.costs(), f, to.costs);
  if (!from.has_serial_launch()) return;
  const v1::SerialLaunch& serial = from.serial_launch();
  f.Read("serial_launch.gpu_ns", serial.has_gpu_ns(), serial.gpu_ns(), to.serial.gpu_ns);
  f.Read("serial_launch.channel_ns", serial.has_channel_ns(), serial.channel_ns(),
         to.serial.channel_ns);
  f.Read("serial_launch.overlap_ns", serial.has_overlap_ns(), serial.overlap_ns(),
         to.serial.overlap_ns);
}

absl::StatusOr<GpuMachine> ToMachine(const v1::GpuMachine& from) {
  GpuMachine result;
  nccl::Machine& to = result.machine;
  if (from.name().empty() || from.name().size() > 64) {
    return absl::InvalidArgumentError("name: need 1 to 64 characters");
  }
  to.name = from.name();
  ASSIGN_OR_RETURN(to.version, nccl::Version::Parse(from.nccl_version()));
  to.gpus = from.gpus();
  if (!v1::GpuMachine::Generation_IsValid(from.generation()) || from.generation() == 0) {
    return absl::InvalidArgumentError("generation is missing: VOLTA, AMPERE, HOPPER or BLACKWELL");
  }
  to.generation = static_cast<nccl::Generation>(from.generation() - 1);
  if (!v1::GpuMachine::Interconnect_IsValid(from.interconnect()) || from.interconnect() == 0) {
    return absl::InvalidArgumentError("interconnect is missing: NVLINK or PCI");
  }
  to.interconnect = static_cast<nccl::Interconnect>(from.interconnect() - 1);
  to.has_serial = from.has_serial_launch();
  Figures figures(result);
  ReadParts(from, figures, to);
  RETURN_IF_ERROR(figures.error());
  RETURN_IF_ERROR(nccl::ValidateMachine(to));
  return result;
}

}  // namespace

int GpuMachine::calibrated() const {
  return static_cast<int>(std::count_if(figures.begin(), figures.end(),
                                        [](const FigureOrigin& f) { return f.calibrated; }));
}

absl::StatusOr<GpuMachine> ParseGpuMachine(absl::string_view text, absl::string_view file) {
  v1::GpuMachine message;
  RETURN_IF_ERROR(ParseTextproto(text, file, kKind, message));
  absl::StatusOr<GpuMachine> machine = ToMachine(message);
  if (machine.ok()) return machine;
  return absl::Status(machine.status().code(),
                      absl::StrCat(file, ": ", machine.status().message()));
}

std::vector<std::string> KnownGpuMachines(const std::string& search_dir) {
  return KnownTextprotos(search_dir, kKind);
}

absl::StatusOr<GpuMachine> LoadGpuMachine(const std::string& name_or_path,
                                          const std::string& search_dir) {
  ASSIGN_OR_RETURN(const TextprotoFile file, ReadTextproto(name_or_path, search_dir, kKind));
  return ParseGpuMachine(file.text, file.path);
}

}  // namespace lockstep
