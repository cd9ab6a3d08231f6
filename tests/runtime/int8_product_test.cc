// Products in int8: sums exactly, at shapes that fill nothing evenly, stored or taken as they come.
#include "runtime/kernels/product.h"

#include <numeric>

#include "runtime/kernels/int8_kernels.h"
#include "tests/runtime/int8_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

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
class Int8ProductTest : public ::testing::TestWithParam<bool> {};

TEST_P(Int8ProductTest, EachGroupIsASumOfItsOwn) {
  const bool taken = GetParam();  // as it leaves the planes, or stored and then scaled
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
  const Int8Kernels::Scaling scaling{{kWest, 1, 0}};
  const auto to = [&](const Product::Sum& sum) {
    return Quad{kWest, 2, 100 + sum.sum * m.tiles() + sum.tile};
  };
  Product::TakerOf take;
  if (taken) {
    take = [&](const Product::Sum& sum) { return chip.int8.Take("p", kEast, scaling, to(sum)); };
  }
  std::vector<Product> products;
  products.emplace_back(chip.placer, chip.timing, std::vector<ProductPart>{{"p", m, {even, odd}}},
                        Pair{kEast, 0, 3, 0}, way, take);
  std::vector<int> next(m.tiles());  // sums of a tile come in order
  PlaceTogether(products, [&](size_t, const Product::Sum& now) {
    ASSERT_EQ(now.sum, next[now.tile]++);
    if (taken) return;
    chip.int8.Dequantise({even + now.tile, odd + now.tile, scaling}, to(now));
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

INSTANTIATE_TEST_SUITE_P(Ways, Int8ProductTest, ::testing::Bool());

// Sums that are scaled and added as they leave the planes have the bits of those that are stored first,
// also where a tile's next sum follows at once.
TEST(Int8TakenSumsTest, HaveTheBitsOfStoredOnes) {
  constexpr int kWords = 9, kRows = 2 * kTileRows + 40;
  const std::vector<int> groups{4, 2, 1, 1, 1};
  for (const Hemisphere side : {kWest, kEast}) {
    const Hemisphere other = Other(side);
    Int8Chip chip;
    const Matrix m{side, 0, kRows, kWords, 1, NumberFormat::kInt8};
    chip.StoreInt8Matrix(m, chip.RandomBytes(size_t{kRows} * kWords * kLanes), kWords * kLanes);
    chip.StoreBytes({side, 0, 3, 0}, chip.RandomBytes(kWords * kLanes));
    const Quad scale{other, 1, 0}, rows{other, 0, 50}, by{kEast, 1, 90}, even{side, 0, 10};
    const Quad odd{side, 2, 10}, stored{side, 1, 200}, taken{side, 1, 300};
    chip.Store(scale, RandomFloats(chip.random, groups.size() * kLanes, 1e-3, 0.1));
    chip.Store(rows, RandomFloats(chip.random, size_t{3} * kLanes, 1e-3, 0.1));
    chip.Fill(by, 1, 0.3f);
    const auto scaling = [&](const Product::Sum& sum) {
      Int8Kernels::Scaling s{scale + sum.sum, sum.sum > 0};
      if (sum.sum + 1 == static_cast<int>(groups.size())) s.row_scale = rows + sum.tile, s.by = by;
      return s;
    };
    for (const bool at_once : {false, true}) {
      Product::TakerOf take;
      if (at_once) {
        take = [&](const Product::Sum& sum) {
          return chip.int8.Take("p", side, scaling(sum), taken + sum.tile);
        };
      }
      std::vector<Product> products;
      products.emplace_back(chip.placer, chip.timing,
                            std::vector<ProductPart>{{"p", m, {even, odd}}}, Pair{side, 0, 3, 0},
                            Product::Way{.turns = true, .groups = groups}, take);
      PlaceTogether(products, [&](size_t, const Product::Sum& sum) {
        if (at_once) return;
        chip.int8.Dequantise({even + sum.tile, odd + sum.tile, scaling(sum)}, stored + sum.tile);
      });
    }
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    const std::vector<float> got = chip.Load(taken, m.tiles());
    EXPECT_EQ(got, chip.Load(stored, m.tiles()));
    EXPECT_NE(got[kRows - 1], 0.0f);
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

}  // namespace
}  // namespace lockstep
