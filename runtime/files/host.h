#pragma once
// The host that emulates; nothing of it may show in results.

#include <algorithm>
#include <thread>

namespace lockstep {

// At least 1.
inline int HostCores() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace lockstep
