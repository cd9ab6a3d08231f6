// Fuzz target: any bytes as a file of a GPU machine. What is accepted is simulated.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "chip/check.h"
#include "fabric/nccl/baseline.h"
#include "runtime/comparison/gpu_machine_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using lockstep::nccl::Operation;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto machine = lockstep::ParseGpuMachine(text, "fuzz");
  if (!machine.ok()) return 0;
  for (Operation operation : {Operation::kAllReduce, Operation::kAllToAll}) {
    const auto outcome = lockstep::nccl::Simulate(machine->machine, {}, {operation, 65536, 2});
    LOCKSTEP_CHECK(outcome.ok() && outcome->time_ps > 0, "a machine was accepted, but: %s",
                   outcome.status().ToString());
  }
  return 0;
}
