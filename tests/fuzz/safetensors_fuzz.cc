// Any bytes as a safetensors file: an error, or tensors that lie inside the bytes, tile them, and
// have the size their shape says.

#include <cstdint>

#include "chip/check.h"
#include "runtime/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto index = lockstep::ParseSafetensors({data, size}, "input");
  if (!index.ok()) return 0;
  size_t total = 0;
  unsigned sum = 0;
  for (const auto& [name, view] : index->tensors) {
    int64_t bytes = lockstep::DTypeBytes(view.dtype);
    for (const int64_t dim : view.shape) {
      if (dim == 0) bytes = 0;
    }
    for (const int64_t dim : view.shape) bytes *= bytes == 0 ? 1 : dim;
    LOCKSTEP_CHECK(static_cast<size_t>(bytes) == view.bytes.size(), "%s", name);
    for (const uint8_t byte : view.bytes) sum += byte;  // a checker sees a wild view
    total += view.bytes.size();
  }
  LOCKSTEP_CHECK(total <= size && sum <= 255 * total, "%d of %d bytes", total, size);
  return 0;
}
