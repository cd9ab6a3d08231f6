// The futex calls of a bell. Not the private kind: the word lies in memory of several processes.
#include "fabric/byte_ring.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace lockstep {

void Bell::Ring() {
  // Whoever takes the mark rings; the others save the system call.
  if (asleep.load() == 0 || asleep.exchange(0) == 0) return;
  rings.fetch_add(1);
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&rings), FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

void Bell::WaitFor(uint32_t heard, int64_t timeout_us) {
  timespec limit = {timeout_us / 1'000'000, timeout_us % 1'000'000 * 1000};
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&rings), FUTEX_WAIT, heard,
          timeout_us < 0 ? nullptr : &limit, nullptr, 0);
}

}  // namespace lockstep
