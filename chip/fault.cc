// Names and printing of faults (chip/fault.h).
#include "chip/fault.h"

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/queue.h"
#include "chip/text.h"

namespace lockstep {

absl::string_view FaultName(FaultKind kind) {
  static constexpr absl::string_view kNames[kFaultKinds] = {
      "bad instruction", "queue empty",   "never released",  "bank conflict",  "port conflict",
      "stream conflict", "stream empty",  "bad address",     "buffer full",    "buffer empty",
      "plane busy",      "plane empty",   "no result",       "type mismatch",  "not bijective",
      "link slot",       "link absent",   "receive empty",   "receive missing", "fifo overflow",
      "untested",
  };
  const int i = static_cast<int>(kind);
  LOCKSTEP_CHECK(i < kFaultKinds, "fault kind %d", i);
  return kNames[i];
}

std::string Fault::ToString() const {
  return absl::StrCat("fault: ", FaultName(kind), ": chip", chip, " ", QueueName(queue), " @",
                      cycle, ": ", InstructionText(instruction), detail.empty() ? "" : ": ",
                      detail);
}

}  // namespace lockstep
