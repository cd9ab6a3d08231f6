// The int8 path: integer parts exactly, scales against double precision, at shapes that fill
// nothing evenly.
#include "runtime/kernels/int8_kernels.h"

#include <cmath>
#include <numeric>

#include "runtime/kernels/product.h"
#include "tests/runtime/int8_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

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

// Sums of each group of x's vectors, which lie in any order and come when they come.
TEST(Int8ProductTest, EachGroupIsASumOfItsOwn) {
  constexpr int kWords = 70, kRows = 3 * kTileRows + 5;  // more than the buffer holds
  const std::vector<int> groups{1, 3, 40, 20, 6};
  Int8Chip chip;
  const Matrix m{kEast, 0, kRows, kWords, 1, NumberFormat::kInt8};
  const std::vector<int8_t> w = chip.RandomBytes(size_t{kRows} * kWords * kLanes);
  const std::vector<int8_t> x = chip.RandomBytes(kWords * kLanes);
  chip.StoreInt8Matrix(m, w, kWords * kLanes);
  chip.StoreBytes({kEast, 0, 3, 0}, x);
  Product::Way way{.turns = true, .groups = groups};
  for (int i = 0; i < kWords; ++i) way.order.push_back(i * 9 % kWords);
  const Quad even{kEast, 1, 0}, odd{kEast, 2, 0};
  std::vector<Product> products;
  products.emplace_back(chip.placer, chip.timing,
                        std::vector<ProductPart>{{"p", m, {even, odd}}}, Pair{kEast, 0, 3, 0}, way);
  std::vector<int> next(m.tiles());  // sums of a tile come in order
  PlaceTogether(products, [&](size_t, const Product::Stored& now) {
    ASSERT_EQ(now.sum, next[now.tile]++);
    const int to = 100 + now.sum * m.tiles() + now.tile;
    chip.int8.Dequantise({even + now.tile, odd + now.tile, {kWest, 1, 0}}, {kWest, 2, to});
  });
  chip.Fill({kWest, 1, 0}, 1, 1.0f);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  int first = 0;
  for (size_t g = 0; g < groups.size(); first += groups[g++]) {
    const int at = 100 + static_cast<int>(g) * m.tiles();
    const std::vector<float> got = chip.Load({kWest, 2, at}, m.tiles());
    for (int r : {0, 1, 319, 320, 900, kRows - 1}) {
      int want = 0;
      for (int i = first; i < first + groups[g]; ++i) {
        const size_t from = static_cast<size_t>(way.order[i]) * kLanes;
        for (int k = 0; k < kLanes; ++k) want += w[size_t{1} * r * kWords * kLanes + from + k] * x[from + k];
      }
      ASSERT_EQ(got[r], static_cast<float>(want)) << "group " << g << " row " << r;
    }
  }
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

TEST_P(DequantiseTest, AddsTheScaledSumAndScalesTheWhole) {
  const auto [form, side] = GetParam();
  const bool add = (form & 1) != 0, rows = (form & 2) != 0, by = (form & 4) != 0;
  const Hemisphere other = Other(side);
  Int8Chip chip;
  const Quad y{side, 2, 3};
  Int8Kernels::Sums sums{{side, 0, 5}, {side, 1, 9}, {other, 1, 90}, add};
  if (rows) sums.row_scale = Quad{other, 0, 70};
  if (by) sums.by = Quad{kEast, 1, 4000};
  std::vector<int32_t> a(kLanes), b(kLanes);
  for (int32_t& v : a) v = static_cast<int32_t>(chip.random()) / 2;
  for (int32_t& v : b) v = static_cast<int32_t>(chip.random()) / 2;
  const std::vector<float> row_scale = RandomFloats(chip.random, kLanes, 1e-4, 0.1);
  const std::vector<float> before = RandomFloats(chip.random, kLanes, -1e7, 1e7);
  chip.StoreIntegers(sums.even, a);
  chip.StoreIntegers(sums.odd, b);
  chip.Store(y, before);
  chip.Store({other, 0, 70}, row_scale);
  chip.Fill({kEast, 1, 4000}, 1, 0.3f);
  chip.Fill(sums.scale, 1, 0.0123f);
  chip.int8.Dequantise(sums, y);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  const std::vector<float> got = chip.Load(y, 1);
  for (int i = 0; i < kLanes; ++i) {
    float want = static_cast<float>(a[i] + b[i]) * 0.0123f;
    if (add) want = before[i] + want;
    if (rows) want *= row_scale[i];
    if (by) want *= 0.3f;
    ASSERT_EQ(got[i], want) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, DequantiseTest,
                         ::testing::Combine(::testing::Range(0, 8),
                                            ::testing::Values(kWest, kEast)));

// Of a batch each position has the bits that it has alone.
class Int8BatchTest : public ::testing::TestWithParam<std::tuple<int, Hemisphere>> {};

TEST_P(Int8BatchTest, QuantisesEachPositionAsIfAlone) {
  const auto [positions, side] = GetParam();
  for (int words : {1, 2, 9}) {
    Int8Chip chip;
    const Pair x{side, 1, 0, 40};
    const Quad scratch{kEast, 2, 7}, scale[2] = {{kWest, 0, 3}, {kEast, 0, 90}};
    const Single q[2] = {{kWest, 1, 3, 2}, {kEast, 1, 3, 6}}, alone[2] = {q[0] + 500, q[1] + 500};
    const int apart = words + 1;
    chip.Store(x, Halves(RandomFloats(chip.random, size_t{1} * positions * apart * kLanes)));
    chip.int8.Quantise(x, words, scratch, {q[0], q[1]}, {scale[0], scale[1]}, {positions, apart, 3});
    for (int i = 0; i < positions; ++i) {
      chip.int8.Quantise(x + i * apart, words, scratch + 100,
                         {alone[0] + i * apart, alone[1] + i * apart},
                         {scale[0] + (500 + 3 * i), scale[1] + (500 + 3 * i)});
    }
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    for (int s : {0, 1}) {
      EXPECT_EQ(chip.LoadBytes(q[s], positions * apart), chip.LoadBytes(alone[s], positions * apart));
      EXPECT_EQ(chip.Load(scale[s], 3 * positions), chip.Load(scale[s] + 500, 3 * positions));
    }
  }
}

TEST_P(Int8BatchTest, ScalesSumsOfEachPositionAsIfAlone) {
  const auto [positions, side] = GetParam();
  const Hemisphere other = Other(side);
  for (int form = 0; form < 8; ++form) {
    for (int column : {1, 2}) {  // of the result
      Int8Chip chip;
      const Quad y{side, column, 3}, scale{other, 1, 90}, by{other, 2, 900};
      Int8Kernels::Sums sums{{side, 0, 5}, {side, 3 - column, 9}, scale, (form & 1) != 0};
      if ((form & 2) != 0) sums.row_scale = Quad{other, 0, 70};
      if ((form & 4) != 0) sums.by = by;
      const int apart = 4, words = positions * apart;
      for (Quad at : {sums.even, sums.odd, scale, by, Quad{other, 0, 70}}) {
        chip.Store(at, RandomFloats(chip.random, size_t{1} * words * kLanes, -9, 9));
      }
      std::vector<int32_t> integers(size_t{1} * words * kLanes);
      for (int32_t& v : integers) v = static_cast<int32_t>(chip.random()) / 2;
      chip.StoreIntegers(sums.even, integers);
      chip.StoreIntegers(sums.odd, integers);
      const std::vector<float> before = RandomFloats(chip.random, integers.size(), -1e7, 1e7);
      chip.Store(y, before);
      chip.Store(y + 500, before);
      Int8Kernels::Sums batch = sums;
      batch.batch = {positions, apart, 2};
      chip.int8.Dequantise(batch, y);
      for (int i = 0; i < positions; ++i) {
        Int8Kernels::Sums one = sums;
        one.even = sums.even + i, one.odd = sums.odd + i, one.scale = scale + 2 * i;
        if (one.by) one.by = by + i;
        chip.int8.Dequantise(one, y + (500 + i * apart));
      }
      ASSERT_NO_FATAL_FAILURE(chip.Run());
      const std::vector<float> got = chip.Load(y, words);
      EXPECT_EQ(got, chip.Load(y + 500, words)) << "form " << form;
      EXPECT_NE(got, before);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Positions, Int8BatchTest,
                         ::testing::Combine(::testing::Values(2, 8, 16),
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
