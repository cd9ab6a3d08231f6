#pragma once
// How the numbers of a model are kept in SRAM.

#include <cstdint>

namespace lockstep {

enum class NumberFormat : uint8_t { kFp16, kInt8 };

constexpr const char* NumberFormatName(NumberFormat format) {
  return format == NumberFormat::kFp16 ? "fp16" : "int8";
}

}  // namespace lockstep
