#pragma once
// The two generated pages of docs/, from the tables of chip/isa.cc and chip/latency.cc. A test
// compares the files with these texts; `lockstep isa` and `lockstep isa --assumptions` print them.

#include <string>

#include "chip/latency.h"

namespace lockstep {

// docs/isa.md: every instruction with its operands, bit fields, latencies, origin and meaning.
std::string IsaDocument(const ChipTiming& timing);

// docs/assumptions.md: every parameter of ChipTiming, its value, and whether it was published.
std::string AssumptionsDocument(const ChipTiming& timing);

}  // namespace lockstep
