// The int8 path: integer parts exactly, scales against double precision, at shapes that fill
// nothing evenly.
#include "runtime/kernels/int8_kernels.h"

#include <cmath>
#include <numeric>

#include "tests/runtime/one_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

class Int8Chip : public OneChip {
 public:
  Int8Kernels int8{timing, placer};

  std::vector<int8_t> RandomBytes(size_t count) {
    std::vector<int8_t> out(count);
    for (int8_t& v : out) v = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
    return out;
  }
  void StoreBytes(Single at, const std::vector<int8_t>& values) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    for (size_t i = 0; i < values.size(); i += kLanes) {
      const size_t n = std::min<size_t>(kLanes, values.size() - i);
      memory.Store(ColumnSlice(at.side, at.column, at.plane),
                   at.address + static_cast<int>(i / kLanes), 0, {bytes + i, n});
    }
  }
  std::vector<int> LoadBytes(Single at, int words) {
    std::vector<int> out;
    std::array<uint8_t, kVectorBytes> plane;
    for (int w = 0; w < words; ++w) {
      memory.Load(ColumnSlice(at.side, at.column, at.plane), at.address + w, plane);
      for (uint8_t b : plane) out.push_back(static_cast<int8_t>(b));
    }
    return out;
  }
  std::vector<int32_t> LoadIntegers(Quad at, int words) {
    std::vector<int32_t> out;
    for (float v : Load(at, words)) out.push_back(std::bit_cast<int32_t>(v));
    return out;
  }
  void StoreIntegers(Quad at, const std::vector<int32_t>& values) {
    std::vector<float> bits;
    for (int32_t v : values) bits.push_back(std::bit_cast<float>(v));
    Store(at, bits);
  }
  // w: rows x columns.
  void StoreInt8Matrix(const Matrix& m, const std::vector<int8_t>& w, int columns) {
    const LaneStore store = [&](int slice, int address, int lane, const uint8_t* bytes) {
      memory.Store(slice, address, lane, {bytes, kHalfLanes});
    };
    for (int row = 0; row < m.rows; ++row) {
      for (int slot = 0; slot < m.slots; ++slot) {
        std::array<int8_t, kLanes> values{};
        for (int k = 0; k < kLanes && slot * kLanes + k < columns; ++k) {
          values[k] = w[static_cast<size_t>(row) * columns + slot * kLanes + k];
        }
        StoreWeightRow(m, row, slot, values.data(), store);
      }
    }
  }
};

// ---- Products.

struct Shape {
  int rows, columns;
  Hemisphere side;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.rows << "x" << s.columns << " side " << static_cast<int>(s.side);
}

class Int8MatVecTest : public ::testing::TestWithParam<Shape> {
 protected:
  void ExpectExact(const std::vector<int8_t>& w, const std::vector<int8_t>& x) {
    const Shape s = GetParam();
    const Matrix m{s.side, 3, s.rows, CeilDiv(s.columns, kLanes), 1, NumberFormat::kInt8};
    const Single at{s.side, 0, 3, 11};
    const Quad even{s.side, 1, 5}, odd{s.side, 2, 9};
    chip.StoreInt8Matrix(m, w, s.columns);
    chip.StoreBytes(at, x);
    chip.Fill(even, m.tiles(), 77.0f);
    chip.Fill(odd, m.tiles(), 77.0f);
    PlaceInt8MatVec(chip.placer, chip.timing, "product", m, at, even, odd);
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    const std::vector<int32_t> a = chip.LoadIntegers(even, m.tiles());
    const std::vector<int32_t> b = chip.LoadIntegers(odd, m.tiles());
    for (int r = 0; r < m.tiles() * kTileRows; ++r) {
      int64_t want = 0;
      for (int k = 0; r < s.rows && k < s.columns; ++k) {
        want += int64_t{w[static_cast<size_t>(r) * s.columns + k]} * x[k];
      }
      const bool even_plane = r % kTileRows % 32 < 16;
      ASSERT_EQ(even_plane ? a[r] : b[r], want) << "row " << r;
      ASSERT_EQ(even_plane ? b[r] : a[r], 0) << "row " << r;
    }
  }
  Int8Chip chip;
};

TEST_P(Int8MatVecTest, IsExact) {
  const Shape s = GetParam();
  ExpectExact(chip.RandomBytes(size_t{1} * s.rows * s.columns), chip.RandomBytes(s.columns));
}

INSTANTIATE_TEST_SUITE_P(Rows, Int8MatVecTest,
                         ::testing::Values(Shape{1, 320, kEast}, Shape{5, 7, kWest},
                                           Shape{16, 321, kEast}, Shape{17, 640, kWest},
                                           Shape{32, 1, kEast}, Shape{33, 1, kWest},
                                           Shape{64, 700, kEast}, Shape{65, 320, kWest},
                                           Shape{319, 161, kEast}, Shape{320, 1, kWest},
                                           Shape{321, 1000, kEast}, Shape{1000, 641, kWest}));
INSTANTIATE_TEST_SUITE_P(Segments, Int8MatVecTest,
                         ::testing::Values(Shape{5, 64 * 320, kWest}, Shape{5, 64 * 320 + 1, kEast},
                                           Shape{700, 65 * 320 - 7, kEast},
                                           Shape{40, 129 * 320, kWest},
                                           Shape{12 * 320 + 7, 65 * 320, kEast}));

class Int8LargestTest : public Int8MatVecTest {};
TEST_P(Int8LargestTest, TheLargestSumsDoNotOverflow) {
  const Shape s = GetParam();
  const size_t columns = static_cast<size_t>(s.columns);
  std::vector<int8_t> w(2 * columns, 127);
  std::fill_n(w.begin(), columns, int8_t{-127});
  ExpectExact(w, std::vector<int8_t>(columns, 127));
}
INSTANTIATE_TEST_SUITE_P(Longest, Int8LargestTest,
                         ::testing::Values(Shape{2, kInt8SumTerms / kLanes* kLanes, kWest}));
static_assert(int64_t{127} * 127 * kInt8SumTerms <= INT32_MAX);
static_assert(int64_t{127} * 127 * (kInt8SumTerms + 1) > INT32_MAX);

TEST(Int8MatVecOrderTest, FollowsAnFp16ProductAndIsFollowedByOne) {
  Int8Chip chip;
  const Matrix half{kEast, 0, 50, 3, 1}, bytes{kEast, 400, 321, 2, 1, NumberFormat::kInt8};
  const std::vector<float> w16 = Rounded16(RandomFloats(chip.random, 50 * 480));
  const std::vector<int8_t> w8 = chip.RandomBytes(321 * 640);
  const std::vector<int8_t> x8 = chip.RandomBytes(640);
  chip.StoreMatrix(half, w16, 480);
  chip.StoreInt8Matrix(bytes, w8, 640);
  const Pair x{kEast, 0, 0, 0};
  const Single xs{kEast, 0, 2, 0};
  chip.Store(x, Halves(std::vector<float>(640, 1.0f)));
  chip.StoreBytes(xs, x8);
  PlaceMatVec(chip.placer, chip.timing, "half", half, x, {kEast, 1, 0});
  PlaceInt8MatVec(chip.placer, chip.timing, "bytes", bytes, xs, {kEast, 1, 10}, {kEast, 2, 10});
  PlaceMatVec(chip.placer, chip.timing, "half again", half, x, {kEast, 1, 1});
  PlaceInt8MatVec(chip.placer, chip.timing, "again", bytes, xs, {kEast, 1, 20}, {kEast, 2, 20});
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load({kEast, 1, 0}, 1), chip.Load({kEast, 1, 1}, 1));
  EXPECT_EQ(chip.LoadIntegers({kEast, 1, 10}, 2), chip.LoadIntegers({kEast, 1, 20}, 2));
  EXPECT_EQ(chip.LoadIntegers({kEast, 2, 10}, 2), chip.LoadIntegers({kEast, 2, 20}, 2));
  const int last = std::inner_product(w8.end() - 640, w8.end(), x8.begin(), 0);
  EXPECT_EQ(chip.LoadIntegers({kEast, 1, 11}, 1)[0], last);
}

// Both formats stream the same bytes in the same cycles: 20,480 B a cycle but for fill and drain.
int64_t CyclesOfProducts(NumberFormat format, int64_t* bytes) {
  Int8Chip chip;
  *bytes = 0;
  for (Hemisphere side : {kWest, kEast}) {
    const Matrix m{side, 0, 12 * kTileRows, 30, 1, format};
    *bytes += int64_t{m.weight_rows()} * kWeightSlices * kVectorBytes;
    if (format == NumberFormat::kInt8) {
      PlaceInt8MatVec(chip.placer, chip.timing, "p", m, {side, 0, 0, 0}, {side, 1, 0},
                      {side, 2, 0});
    } else {
      PlaceMatVec(chip.placer, chip.timing, "p", m, {side, 0, 0, 0}, {side, 1, 0});
    }
  }
  chip.Run();
  return Dispatch(chip.placer.Finish(), chip.timing).schedule.end;
}

TEST(Int8RateTest, Int8StreamsAsFastAsFp16) {
  int64_t bytes8 = 0, bytes16 = 0;
  const int64_t cycles8 = CyclesOfProducts(NumberFormat::kInt8, &bytes8);
  const int64_t cycles16 = CyclesOfProducts(NumberFormat::kFp16, &bytes16);
  EXPECT_EQ(bytes8, int64_t{2} * 12 * 320 * 30 * 320);
  EXPECT_EQ(bytes8, bytes16);
  // A slot of int8 is a vector of x, one of fp16 half of one: 30 activations to load, not 15.
  EXPECT_EQ(cycles8, cycles16 + 15);
  EXPECT_GT(bytes8, 20480 * cycles8 * 0.95);
}

// ---- Quantisation.

class QuantiseTest : public ::testing::TestWithParam<std::tuple<int, Hemisphere>> {
 protected:
  const int words = std::get<0>(GetParam());
  const Pair x{std::get<1>(GetParam()), 1, 0, 40};
  const Quad scratch{kEast, 2, 7}, scale[2] = {{kWest, 0, 3}, {kEast, 0, 90}};
  const Single west{kWest, 1, 3, 2}, east{kEast, 1, 3, 6};
  Int8Chip chip;

  // Every q is the nearest integer to x * 127 / max, but within 1e-5 of a tie.
  void Expect(const std::vector<float>& values) {
    chip.Store(x, Halves(values));
    chip.int8.Quantise(x, words, scratch, {west, east}, {scale[0], scale[1]});
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    double largest = 0;
    for (float v : values) largest = std::max(largest, std::abs(double{v}));
    for (Quad at : scale) {
      for (float s : chip.Load(at, 1)) ASSERT_EQ(s, static_cast<float>(largest) * (1.0f / 127));
    }
    const std::vector<int> q = chip.LoadBytes(west, words);
    EXPECT_EQ(q, chip.LoadBytes(east, words));
    for (size_t i = 0; i < q.size(); ++i) {
      const double exact = largest == 0 ? 0 : values[i] * 127.0 / largest;
      ASSERT_LE(std::abs(q[i] - exact), 0.5 + 1e-5) << "element " << i << " of " << values[i];
      ASSERT_LE(std::abs(q[i]), 127) << "element " << i;
    }
  }
  std::vector<float> Random(double size) {
    return Rounded16(RandomFloats(chip.random, static_cast<size_t>(words) * kLanes, -size, size));
  }
};

TEST_P(QuantiseTest, RoundsToTheNearestOfTheWholeVectorsScale) { Expect(Random(3)); }

TEST_P(QuantiseTest, TheLargestElementIsFoundWhereverItStands) {
  for (int place : {0, 159, words * kLanes - 1}) {
    for (float largest : {-60000.0f, 0.25f}) {
      std::vector<float> values = Random(0.2);
      values[place] = HalfToFloat(FloatToHalf(largest));
      ASSERT_NO_FATAL_FAILURE(Expect(values));
      EXPECT_EQ(chip.LoadBytes(west, words)[place], largest < 0 ? -127 : 127);
    }
  }
}

TEST_P(QuantiseTest, ZerosStayZeros) {
  ASSERT_NO_FATAL_FAILURE(Expect(std::vector<float>(static_cast<size_t>(words) * kLanes)));
}

TEST_P(QuantiseTest, TheSmallestHalfIsQuantisedToo) {
  std::vector<float> values(static_cast<size_t>(words) * kLanes);
  values[7] = 0x1p-24f, values[words * kLanes - 2] = -0x1p-24f;
  ASSERT_NO_FATAL_FAILURE(Expect(values));
  EXPECT_EQ(chip.LoadBytes(east, words)[7], 127);
}

INSTANTIATE_TEST_SUITE_P(Words, QuantiseTest,
                         ::testing::Combine(::testing::Values(1, 2, 5, 26, 90),
                                            ::testing::Values(kWest, kEast)));

// ---- Scaling and packing.

class DequantiseTest : public ::testing::TestWithParam<std::tuple<int, Hemisphere>> {};

TEST_P(DequantiseTest, IsTheSumTimesBothScales) {
  const auto [words, side] = GetParam();
  const Hemisphere other = Other(side);
  Int8Chip chip;
  const Quad even{side, 0, 5}, odd{side, 1, 9}, y{side, 2, 3};
  const Quad row_scale{other, 0, 70}, scale{other, 1, 90};
  const size_t n = static_cast<size_t>(words) * kLanes;
  std::vector<int32_t> a(n), b(n);
  for (int32_t& v : a) v = static_cast<int32_t>(chip.random()) / 2;
  for (int32_t& v : b) v = static_cast<int32_t>(chip.random()) / 2;
  const std::vector<float> rows = RandomFloats(chip.random, n, 1e-4, 0.1);
  chip.StoreIntegers(even, a);
  chip.StoreIntegers(odd, b);
  chip.Store(row_scale, rows);
  chip.Fill(scale, 1, 0.0123f);
  chip.int8.Dequantise(even, odd, row_scale, scale, words, y);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  const std::vector<float> got = chip.Load(y, words);
  for (size_t i = 0; i < n; ++i) {
    ASSERT_EQ(got[i], static_cast<float>(a[i] + b[i]) * rows[i] * 0.0123f) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Words, DequantiseTest,
                         ::testing::Combine(::testing::Values(1, 3, 40),
                                            ::testing::Values(kWest, kEast)));

class PackHalvesTest : public ::testing::TestWithParam<std::tuple<int, Hemisphere>> {};

TEST_P(PackHalvesTest, PutsTwoVectorsIntoOne) {
  const auto [halves, side] = GetParam();
  Int8Chip chip;
  const Pair x{side, 1, 2, 8}, y{side, 0, 0, 5};
  std::vector<float> values(static_cast<size_t>(halves) * kLanes);
  std::vector<float> want(static_cast<size_t>(CeilDiv(halves, 2)) * kLanes);
  for (int h = 0; h < halves; ++h) {
    for (int i = 0; i < kHalfLanes; ++i) {
      values[h * kLanes + i] = want[h * kHalfLanes + i] = static_cast<float>(h * 7 + i + 1);
    }
  }
  chip.Store(x, Halves(values));
  chip.int8.PackHalves(x, halves, y);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load16(y, CeilDiv(halves, 2)), want);
}

INSTANTIATE_TEST_SUITE_P(Halves, PackHalvesTest,
                         ::testing::Combine(::testing::Values(1, 2, 3, 8, 24, 27, 64),
                                            ::testing::Values(kWest, kEast)));

}  // namespace
}  // namespace lockstep
