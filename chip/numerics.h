#pragma once
// The arithmetic of the chip: pure functions on arrays, vectorised with one source for all SIMD
// widths, the same bits on every host.
//
// How the same bits come about:
//   - integer operations are exact, modulo or saturating as their names say;
//   - an fp16 dot product is the exact sum of its 160 exact products, rounded once, so no order of
//     summation can show;
//   - elementwise float operations are single IEEE operations, round to nearest even, never fused;
//     exp, tanh and rsqrt are ours, in double precision, rounded once, with the same operations in
//     the same order per lane on every target;
//   - every NaN that an operation makes is canonical: 0x7FC00000 (fp32), 0x7E00 (fp16).
// The host must be little-endian, in the default floating-point mode (round to nearest even, no
// flush to zero).
//
// Pointers need no alignment (64 bytes is fastest). Unless stated, outputs may not overlap inputs.

#include <bit>
#include <cstdint>

#include "chip/numeric_types.h"

namespace lockstep {

static_assert(std::endian::native == std::endian::little);

inline constexpr int kFp16Terms = 160;  // of one fp16 dot product
inline constexpr int kInt8Terms = 320;  // of one int8 dot product

// ---- MXM ----------------------------------------------------------------------------------------

// 160 fp16 weights where they lie, as two byte planes: value k has the bits lo[k] | hi[k] << 8.
// Not owned. lo == nullptr: a row of zeros.
struct Fp16Row {
  const uint8_t* lo = nullptr;
  const uint8_t* hi = nullptr;
};

// out[n] = sum over k < 160 of rows[n][k] * activation[k], for n < row_count: the exact sum, rounded
// once to fp32, to nearest even. Activations are fp16 values widened to fp32 (REQUIRES: exactly).
//   - An exact sum of zero is +0, whatever the signs of its terms.
//   - NaN among the factors, inf * 0, or +inf and -inf among the products: canonical NaN.
//     Otherwise an infinite product gives its infinity. Finite factors cannot overflow: |sum| < 2^40.
// Method: the products (22 bits, exact) are summed in fp64 in any order; e = 2^-45 * sum|a| * max|w|
// bounds the error of that from above (160 * 2^-53 < 2^-45.6, the rest covers the bound's own
// rounding). If sum - e and sum + e round to one fp32, that is the result. If sum|a| * max|w| < 31,
// then e = 0: products are multiples of 2^-48, so the fp64 sum is exact. Otherwise, about one row in
// 10^4, the row is summed again in two fp64 accumulators on two grids, which is always exact.
void Fp16MatVec(const Fp16Row rows[], int row_count, const float activation[kFp16Terms],
                float out[]);

// outs[b][n] as Fp16MatVec(rows, row_count, activations[b], outs[b]), for b < batch. The weights
// are widened once for up to 16 activations, so this is faster per product from batch 2 on.
void Fp16MatMul(const Fp16Row rows[], int row_count, const float* const activations[], int batch,
                float* const outs[]);

// out[n] = sum over k < 320 of rows[n][k] * activation[k], exact. The bytes are two's complement
// int8. rows[n] == nullptr: a row of zeros.
void Int8MatVec(const uint8_t* const rows[], int row_count, const uint8_t activation[kInt8Terms],
                int32_t out[]);

// acc[i] += x[i], i < count: IEEE fp32; int32 modulo 2^32.
void AddF32(float* acc, const float* x, int count);
void AddI32(int32_t* acc, const int32_t* x, int count);

// ---- Byte planes: 320 lanes, least significant byte in plane 0 -----------------------------------

// out[i] = plane0[i] | plane1[i] << 8 (| plane2[i] << 16 | plane3[i] << 24).
void Interleave2(const uint8_t* plane0, const uint8_t* plane1, uint16_t out[320]);
void Interleave4(const uint8_t* plane0, const uint8_t* plane1, const uint8_t* plane2,
                 const uint8_t* plane3, uint32_t out[320]);
// The reverse.
void Deinterleave2(const uint16_t native[320], uint8_t* plane0, uint8_t* plane1);
void Deinterleave4(const uint32_t native[320], uint8_t* plane0, uint8_t* plane1, uint8_t* plane2,
                   uint8_t* plane3);
// One plane of 320 elements of `width` bytes (1, 2 or 4). REQUIRES: 0 <= plane < width.
void ExtractPlane(const void* native, int width, int plane, uint8_t out[320]);

// ---- VXM: elementwise on native arrays of `lanes` elements ---------------------------------------
// fp16 and bit masks are held in uint16_t. `out` may be exactly `a` or `b` where the elements are of
// one size. fp16 results are those of exact arithmetic rounded once (kAdd, kSub, kMul).

// REQUIRES: IsSupported(op, type).
void VxmBinary(BinaryOp op, NumericType type, const void* a, const void* b, void* out, int lanes);

// kExp, kTanh, kRsqrt: within 1 ulp of the correctly rounded result (nearly always equal to it);
// exp overflows to inf and underflows through the subnormals to 0; tanh is odd, and +-1 at +-inf.
// REQUIRES: IsSupported(op, type).
void VxmUnary(UnaryOp op, NumericType type, const void* a, void* out, int lanes);

// Each element rounded once, to nearest even. To an integer: saturates; NaN gives 0. To fp16:
// 65520 and above give inf. A NaN becomes canonical; from == to copies the bits as they are.
void VxmConvert(NumericType from, NumericType to, const void* a, void* out, int lanes);

// The SIMD target in use, e.g. "AVX3"; for reports only, no result depends on it.
const char* SimdTargetName();

}  // namespace lockstep
