#pragma once
// Where one of several sequences in flight finds what is its own.

#include "runtime/compiler/layout.h"

namespace lockstep {

// The map as sequence `sequence` sees it: its step inputs, its part of the KV cache.
ModelMap AtSequence(ModelMap map, const Plan& plan, int sequence);

}  // namespace lockstep
