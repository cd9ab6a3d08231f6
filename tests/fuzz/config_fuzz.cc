// Any text as config.json: an error, or a config that passes its own checks and has finite
// rotary frequencies.

#include <cmath>
#include <cstdint>

#include "chip/check.h"
#include "runtime/model/model_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = lockstep::ParseModelConfig(text, "input");
  if (!config.ok()) return 0;
  LOCKSTEP_CHECK(lockstep::ValidateModelConfig(*config, "input").ok(), "accepted but not valid");
  LOCKSTEP_CHECK(config->ParameterCount() > 0, "%d parameters", config->ParameterCount());
  for (const double frequency : lockstep::InverseFrequencies(*config)) {
    LOCKSTEP_CHECK(frequency > 0 && frequency <= 1, "frequency %g", frequency);
  }
  return 0;
}
