// An LSTM step against double precision.
//
// Tolerance: a gate's sum is off by at most 2 * slots roundings of 2^-24 of its sum of magnitudes,
// below 1e-3 here; tanh and sigmoid have slopes of at most 1; h is rounded to fp16.
#include "runtime/validation/lstm.h"

#include <cmath>

#include "tests/runtime/one_chip.h"

namespace lockstep {
namespace {

double Sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

struct Step {
  LstmShape shape;
  std::vector<float> w[4];  // i, f, g, o
  std::vector<float> v, c;

  double Gate(int gate, int row) const {
    double sum = 0;
    for (int k = 0; k < shape.columns(); ++k) {
      sum += double{w[gate][size_t{1} * row * shape.columns() + k]} * v[k];
    }
    return sum;
  }
};

class LstmTest : public ::testing::TestWithParam<LstmShape> {};

TEST_P(LstmTest, AgreesWithDoublePrecision) {
  OneChip chip;
  Step s{GetParam(), {}, {}, {}};
  const LstmMap map(s.shape);
  const Matrix* const matrices[] = {&map.i, &map.f, &map.g, &map.o};
  for (int gate = 0; gate < 4; ++gate) {
    s.w[gate] = Rounded16(
        RandomFloats(chip.random, size_t{1} * s.shape.hidden * s.shape.columns(), -0.1, 0.1));
    chip.StoreMatrix(*matrices[gate], s.w[gate], s.shape.columns());
  }
  s.v = Rounded16(RandomFloats(chip.random, s.shape.columns()));
  s.v.back() = 1.0f;
  s.c = RandomFloats(chip.random, s.shape.hidden);
  chip.Store(map.v_west, Halves(s.v));
  chip.Store(map.v_east, Halves(s.v));
  chip.Store(map.c, s.c);
  PlaceLstmStep(chip.placer, chip.timing, s.shape, map);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  const std::vector<float> c = chip.Load(map.c_next, s.shape.words());
  const std::vector<float> west = chip.Load16(map.v_west, s.shape.words());
  const std::vector<float> east = chip.Load16(map.v_east, s.shape.words());
  for (int r = 0; r < s.shape.hidden; ++r) {
    const double cell =
        Sigmoid(s.Gate(1, r)) * s.c[r] + Sigmoid(s.Gate(0, r)) * std::tanh(s.Gate(2, r));
    const double h = Sigmoid(s.Gate(3, r)) * std::tanh(cell);
    ASSERT_NEAR(c[r], cell, 1e-4) << r;
    ASSERT_NEAR(west[r], h, 1e-4 + HalfError(h)) << r;
    ASSERT_EQ(west[r], east[r]) << r;
  }
}
INSTANTIATE_TEST_SUITE_P(Shapes, LstmTest,
                         ::testing::Values(LstmShape{320, 1}, LstmShape{320, 500},
                                           LstmShape{640, 640}, LstmShape{960, 13}));

}  // namespace
}  // namespace lockstep
