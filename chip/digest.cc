// Streaming xxHash64, seed 0, over the numbers of retired runs (chip/digest.h).
#include "chip/digest.h"

#include <xxhash.h>

#include <array>

#include "chip/check.h"

namespace lockstep {

TimingDigest::TimingDigest() : state_(XXH64_createState()) {
  LOCKSTEP_CHECK(state_ != nullptr, "no memory for a hash state");
  XXH64_reset(state_.get(), 0);
}

TimingDigest::~TimingDigest() = default;

void TimingDigest::Free::operator()(XXH64_state_s* state) const { XXH64_freeState(state); }

void TimingDigest::Add(const RunRetired& run) {
  const std::array<int64_t, 6> numbers = {run.queue, static_cast<int64_t>(run.op), run.first,
                                          run.last,  run.count, run.operand_age};
  std::array<uint8_t, sizeof numbers> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(static_cast<uint64_t>(numbers[i / 8]) >> (i % 8 * 8));
  }
  XXH64_update(state_.get(), bytes.data(), bytes.size());
}

uint64_t TimingDigest::value() const { return XXH64_digest(state_.get()); }

}  // namespace lockstep
