#pragma once
// The formats in which a compiled model holds the weights of its layers: fp16 (sums in fp32), or int8
// with one fp32 scale a row (sums in int32, scaled in the VXM).

#include <cstdint>

namespace lockstep {

enum class WeightFormat : uint8_t { kFp16, kInt8 };

}  // namespace lockstep
