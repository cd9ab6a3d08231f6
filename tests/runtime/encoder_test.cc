// Encoder layers on one chip against double precision.
//
// Tolerance: outputs are normalised, so of size 1. A layer rounds its operands to fp16 (2^-11) some ten
// times in a row; sums of many such errors stay far below 0.01. A wrong head, position or bias moves
// outputs by some tenths.
#include "runtime/validation/encoder.h"

#include "tests/runtime/encoder_model.h"

namespace lockstep {
namespace {

using namespace encoders;

struct Case {
  EncoderShape shape;
  int layers;
};
class EncoderTest : public ::testing::TestWithParam<Case> {};

TEST_P(EncoderTest, AgreesWithDoublePrecision) {
  const auto& [s, layers] = GetParam();
  ASSERT_TRUE(s.Check().ok());
  OneChip chip;
  const EncoderMap map(s, layers);
  ASSERT_TRUE(map.fits().ok()) << map.fits();
  WriteEncoderTables(s, map, chip.memory);
  Rows x;
  for (int t = 0; t < s.positions; ++t) {
    const Floats row = RandomFloats(chip.random, s.hidden(), -1.5, 1.5);
    chip.Store(map.x + t * s.words(), row);
    x.emplace_back(row.begin(), row.end());
  }
  PlaceEncoderInput(chip.placer, chip.timing, s, map);
  for (const EncoderLayer& layer : map.layers) {
    const Weights w = RandomWeights(chip.random, s);
    StoreLayer(chip.memory, s, layer, w);
    PlaceEncoderLayer(chip.placer, chip.timing, s, map, layer);
    x = Reference(s, w, x);
  }
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  for (int t = 0; t < s.positions; ++t) {
    const Floats got = chip.Load(map.x + t * s.words(), s.words());
    for (int i = 0; i < s.hidden(); ++i) ASSERT_NEAR(got[i], x[t][i], 0.01) << t << ", " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, EncoderTest,
                         ::testing::Values(Case{{16, 2, 8, 20}, 1}, Case{{48, 3, 24, 100}, 2},
                                           Case{{336, 5, 66, 700}, 1}));

TEST(EncoderMapTest, WhatDoesNotFitIsRefused) {
  EXPECT_FALSE((EncoderShape{20, 2, 8, 20}.Check().ok()));
  EXPECT_FALSE((EncoderShape{16, 2, 161, 20}.Check().ok()));
  const EncoderShape large{384, 16, 64, 4096};
  EXPECT_TRUE(EncoderMap(large, 4).fits().ok());
  EXPECT_FALSE(EncoderMap(large, 6).fits().ok());
}

}  // namespace
}  // namespace lockstep
