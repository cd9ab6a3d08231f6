#pragma once
// What a collective came to, as JSON and as a table of its links.

#include <string>

#include "runtime/collectives/collective_run.h"

namespace lockstep {

// Everything outside the object "host" is the same on every host and transport.
std::string CollectiveJson(const CollectiveOutcome& outcome);

}  // namespace lockstep
