// Any bytes as a tokenizer.model: an error, or a tokenizer whose ids are in its vocabulary and
// whose streamed text is the text decoded at once.

#include <cstdint>
#include <numeric>
#include <vector>

#include "chip/check.h"
#include "runtime/model/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = lockstep::Tokenizer::Parse(bytes, "input");
  if (!tokenizer.ok()) return 0;
  // The model's own bytes double as a text with odd characters.
  for (const std::string_view text :
       {std::string_view(" once  a \xE2\x82\xAC"), bytes.substr(0, 200)}) {
    const auto ids = tokenizer->Encode(text, false);
    LOCKSTEP_CHECK(ids.ok(), "%s", std::string(ids.status().message()));
    LOCKSTEP_CHECK(tokenizer->Decode(*ids).ok(), "an id outside the vocabulary");
  }
  std::vector<int> all(static_cast<size_t>(tokenizer->vocab_size()));
  std::iota(all.begin(), all.end(), 0);
  LOCKSTEP_CHECK(tokenizer->Decode(all).ok(), "an id of the vocabulary was refused");
  return 0;
}
