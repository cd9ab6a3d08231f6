#pragma once
// Names of the chip's number types and of the elementwise operations of the VXM, and which of them
// go together. No arithmetic here (chip/numerics.h) and no SIMD, so that the ISA may include it.

#include <cstdint>

namespace lockstep {

enum class NumericType : uint8_t { kInt8, kInt16, kInt32, kFp16, kFp32 };
inline constexpr int kNumericTypes = 5;

// Bytes of one element, which is also the number of byte planes of a vector of them.
constexpr int ElementBytes(NumericType type) {
  switch (type) {
    case NumericType::kInt8: return 1;
    case NumericType::kInt16:
    case NumericType::kFp16: return 2;
    case NumericType::kInt32:
    case NumericType::kFp32: return 4;
  }
  return 0;
}
constexpr bool IsFloat(NumericType type) {
  return type == NumericType::kFp16 || type == NumericType::kFp32;
}

// out = a OP b. A comparison gives all ones or all zeros in the width of the type.
enum class BinaryOp : uint8_t {
  kAdd,  // integers modulo 2^width; floats IEEE, round to nearest even
  kSub,
  kMul,
  kAddSaturating,  // integers only: clamped to the range of the type
  kSubSaturating,
  kMulSaturating,
  kMax,  // floats: NaN if either is NaN; -0 < +0
  kMin,
  kEqual,  // floats: false if either is NaN (also the next two); -0 == +0
  kGreater,
  kGreaterEqual,
  kMask,  // b != 0 ? a : 0, the bits of a unchanged; -0 counts as 0, NaN does not
  kAnd,   // bits of any type
  kOr,
  kXor,
};
inline constexpr int kBinaryOps = 15;

enum class UnaryOp : uint8_t {
  kNegate,  // integers saturate: -(-128) = 127
  kAbs,     // integers saturate: |-128| = 127
  kRelu,    // x > 0 ? x : +0; NaN stays NaN
  kExp,     // floats only, as the next two
  kTanh,
  kRsqrt,  // 1 / sqrt(x): +-0 gives +-inf, x < 0 gives NaN, +inf gives 0
};
inline constexpr int kUnaryOps = 6;

constexpr bool IsSupported(BinaryOp op, NumericType type) {
  switch (op) {
    case BinaryOp::kAddSaturating:
    case BinaryOp::kSubSaturating:
    case BinaryOp::kMulSaturating: return !IsFloat(type);
    default: return true;
  }
}
constexpr bool IsSupported(UnaryOp op, NumericType type) {
  switch (op) {
    case UnaryOp::kExp:
    case UnaryOp::kTanh:
    case UnaryOp::kRsqrt: return IsFloat(type);
    default: return true;
  }
}

}  // namespace lockstep
