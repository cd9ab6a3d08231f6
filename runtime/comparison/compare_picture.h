#pragma once
// The comparison as a picture: bus bandwidth by message size, and the same as share of channels.

#include <string>
#include <vector>

#include "runtime/comparison/compare.h"

namespace lockstep {

// SVG, a row of two charts a collective. With our side absent, the baseline's curves alone.
// REQUIRES: no comparison without rows.
std::string ComparePicture(const std::vector<Comparison>& comparisons, const Channels& channels,
                           const std::string& baseline);

}  // namespace lockstep
