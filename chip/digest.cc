// Streaming xxHash64, seed 0, over executions (chip/digest.h). Numbers are hashed as they lie in
// memory.
#include "chip/digest.h"

#include <xxhash.h>

#include <array>
#include <bit>

#include "chip/check.h"

namespace lockstep {
namespace {

static_assert(std::endian::native == std::endian::little);

struct Free {
  void operator()(XXH64_state_t* state) const { XXH64_freeState(state); }
};

XXH64_state_t* NewState() {
  XXH64_state_t* state = XXH64_createState();
  LOCKSTEP_CHECK(state != nullptr, "no memory for a hash state");
  XXH64_reset(state, 0);
  return state;
}

}  // namespace

uint64_t ScheduleHash(const Schedule& schedule) {
  const std::unique_ptr<XXH64_state_t, Free> state(NewState());
  for (const Run& run : schedule.runs) {
    const std::array<int64_t, 5> numbers = {run.queue, static_cast<int64_t>(run.instr.op),
                                            run.first, run.last(), run.count};
    XXH64_update(state.get(), numbers.data(), sizeof numbers);
  }
  return XXH64_digest(state.get());
}

TimingDigest::TimingDigest() : state_(NewState()) {}

TimingDigest::~TimingDigest() = default;

void TimingDigest::Free::operator()(XXH64_state_s* state) const { XXH64_freeState(state); }

void TimingDigest::Add(uint64_t schedule_hash, std::span<const int64_t> operand_ages) {
  XXH64_update(state_.get(), &schedule_hash, sizeof schedule_hash);
  XXH64_update(state_.get(), operand_ages.data(), operand_ages.size_bytes());
}

uint64_t TimingDigest::value() const { return XXH64_digest(state_.get()); }

}  // namespace lockstep
