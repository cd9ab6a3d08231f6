// Any bytes, as program text and as a binary program: no crash, no unbounded time or memory, and
// what is accepted round-trips and can be dispatched.
#include <cstddef>
#include <cstdint>

#include "chip/binary.h"
#include "chip/check.h"
#include "chip/text.h"

namespace {

void CheckProgram(const lockstep::Program& program) {
  const auto binary = lockstep::DecodeProgram(lockstep::EncodeProgram(program));
  LOCKSTEP_CHECK(binary.ok() && *binary == program, "binary form: %s", binary.status().ToString());
  const auto text = lockstep::Assemble(lockstep::Disassemble(program));
  LOCKSTEP_CHECK(text.ok() && *text == program, "text form: %s", text.status().ToString());
  const lockstep::DispatchResult result =
      lockstep::Dispatch(program, lockstep::ChipTiming::Default());
  LOCKSTEP_CHECK(!result.fault || !result.fault->ToString().empty(), "fault without a text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto file = lockstep::AssembleFile(bytes); file.ok()) {
    CheckProgram(file->program);
    const auto again = lockstep::AssembleFile(lockstep::Disassemble(*file));
    LOCKSTEP_CHECK(again.ok() && *again == *file, "with data: %s", again.status().ToString());
  }
  if (const auto program = lockstep::DecodeProgram(bytes); program.ok()) CheckProgram(*program);
  return 0;
}
