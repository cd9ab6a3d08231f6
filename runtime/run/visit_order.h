#pragma once
// In which order the stages of a step are visited where memory holds one at a time.
//
//   in time          s0: p0 p1 p2     s1:    p0 p1 p2     s2:       p0 p1 p2
//   in visits        s0: p0 p1 p2;  then s1: p0 p1 p2;  then s2: p0 p1 p2
//
// A part needs what the part before it in its row has sent, and what its chips' parts before it have
// left. Between these the order is free, so that a visit takes as many parts as it can.

#include <vector>

#include "absl/types/span.h"
#include "runtime/compiler/pipeline.h"

namespace lockstep {

// Parts of one stage, or of the third chips of one transfer, by start; of parts that outlive this.
using Visit = std::vector<const PipelinePart*>;

// All parts of a step, each once. parts: row by row (CompiledPipeline::parts).
std::vector<Visit> VisitsOf(absl::Span<const PipelinePart> parts);

}  // namespace lockstep
