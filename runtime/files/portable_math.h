#pragma once
// exp, log, sine and cosine in double precision from additions, multiplications and divisions
// alone, which IEEE 754 fixes to the bit: the host's libm differs between versions and machines,
// and rotary tables and sampled tokens must not. (Built with -ffp-contract=off: no fused steps.)
//
// Accuracy against the true value, measured by the tests over the stated ranges: Exp and Log
// within 2 units in the last place, Sin and Cos within 2.3e-16 absolute.

namespace lockstep {

// Any argument: below -745.2 gives 0, above 709.8 infinity, NaN stays NaN. Subnormal results are
// rounded twice and may be one unit off.
double Exp(double x);

// Natural logarithm of a positive, finite, normal x; x = 0 gives -infinity, a negative x NaN.
double Log(double x);

// base^exponent for base > 0: Exp(exponent * Log(base)), so the relative error grows with the
// size of the product (2^-52 times it).
double Pow(double base, double exponent);

struct SinCos {
  double sin, cos;
};
// REQUIRES: |x| <= kMaxAngle (radians), which leaves room for position 2^20.
inline constexpr double kMaxAngle = 1.6e6;
SinCos SinAndCos(double x);

}  // namespace lockstep
