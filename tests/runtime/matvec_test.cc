// Matrix-vector products against double precision, at shapes that fill nothing evenly.
//
// Tolerance: a slot's dot product is rounded to fp32 once, and `slots` of them are added in fp32:
// at most 2 * slots roundings, each of at most 2^-24 of the sum of all |w x|.
#include "runtime/kernels/matvec.h"

#include "runtime/compiler/memory_map.h"
#include "runtime/kernels/chain.h"
#include "runtime/kernels/product.h"
#include "tests/runtime/one_chip.h"

namespace lockstep {
namespace {

struct Shape {
  int rows, columns, slot_stride;
  Hemisphere side;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.rows << "x" << s.columns << " stride " << s.slot_stride << " side "
             << static_cast<int>(s.side);
}

class MatVecTest : public ::testing::TestWithParam<Shape> {
 protected:
  // x as its slots lie: two a vector, or one in each vector's lower half.
  void StoreVector(Pair at, const std::vector<float>& x, int slot_stride) {
    std::vector<float> lanes;
    for (size_t i = 0; i < x.size(); i += kHalfLanes) {
      const size_t n = std::min<size_t>(kHalfLanes, x.size() - i);
      lanes.insert(lanes.end(), x.begin() + i, x.begin() + i + n);
      lanes.resize(CeilDiv(static_cast<int>(lanes.size()), kHalfLanes) * kHalfLanes);
      if (slot_stride == 2) lanes.insert(lanes.end(), kHalfLanes, 9.0f);  // read by nobody
    }
    chip.Store(at, Halves(lanes));
  }
  OneChip chip;
};

TEST_P(MatVecTest, AgreesWithDoublePrecision) {
  const Shape s = GetParam();
  const Matrix m{s.side, 3, s.rows, CeilDiv(s.columns, kHalfLanes), s.slot_stride};
  const std::vector<float> w = Rounded16(RandomFloats(chip.random, size_t{1} * s.rows * s.columns));
  const std::vector<float> x = Rounded16(RandomFloats(chip.random, s.columns));
  const Pair at{s.side, 0, 2, 11};
  const Quad out{s.side, 1, 5};
  chip.StoreMatrix(m, w, s.columns);
  StoreVector(at, x, s.slot_stride);
  chip.Fill(out, m.tiles(), 77.0f);
  PlaceMatVec(chip.placer, chip.timing, "product", m, at, out);
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  std::vector<double> want(m.tiles() * kLanes, 0.0), size(m.tiles() * kLanes, 0.0);
  for (int r = 0; r < s.rows; ++r) {
    for (int k = 0; k < s.columns; ++k) {
      const double term = double{w[size_t{1} * r * s.columns + k]} * x[k];
      want[r] += term, size[r] += std::abs(term);
    }
  }
  EXPECT_TRUE(AllNear(chip.Load(out, m.tiles()), want,
                      [&](size_t i) { return 2 * m.slots * kUlp32 * size[i]; }));
}

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;
INSTANTIATE_TEST_SUITE_P(Rows, MatVecTest,
                         ::testing::Values(Shape{1, 160, 1, kEast}, Shape{5, 7, 1, kWest},
                                           Shape{16, 161, 1, kEast}, Shape{17, 320, 1, kWest},
                                           Shape{32, 1, 1, kEast}, Shape{33, 1, 1, kWest},
                                           Shape{159, 500, 1, kEast}, Shape{160, 320, 1, kWest},
                                           Shape{161, 161, 1, kEast}, Shape{320, 1, 1, kWest},
                                           Shape{321, 500, 1, kEast}, Shape{1000, 321, 1, kWest}));
INSTANTIATE_TEST_SUITE_P(OneSlotAVector, MatVecTest,
                         ::testing::Values(Shape{1, 7, 2, kEast}, Shape{5, 320, 2, kWest},
                                           Shape{161, 480, 2, kEast},
                                           Shape{330, 33 * 160, 2, kWest},
                                           Shape{640, 65 * 160, 2, kEast}));
INSTANTIATE_TEST_SUITE_P(Segments, MatVecTest,
                         ::testing::Values(Shape{5, 10240, 1, kWest}, Shape{5, 10241, 1, kEast},
                                           Shape{321, 10250, 1, kEast},
                                           Shape{1000, 64 * 160 + 330, 1, kWest},
                                           Shape{40, 129 * 160, 1, kWest},
                                           Shape{17 * 320 - 300, 33 * 160, 2, kEast}));

// All quads of streams lie in row `row` of their columns, and rows of the matrix in their lanes.
void ExpectSlotAt(const Matrix& m, int tile, int slot, int row) {
  const WeightWords words = m.WordsOf(tile, slot);
  for (int q = 0; q < kStreamQuads; ++q) {
    EXPECT_EQ(words[q].column, kColumns + q);
    EXPECT_EQ(words[q].address, row);
  }
  const std::vector<uint16_t> values(kHalfLanes);
  for (int r : {0, m.tile_rows(tile) - 1}) {
    StoreWeightRow(m, tile * kTileRows + r, slot, values.data(),
                   [&](int, int address, int lane, const uint8_t*) {
                     EXPECT_EQ(address, row + r % kHalfLanes / 16);
                     EXPECT_EQ(lane, r / kHalfLanes * kHalfLanes);
                   });
  }
}

// y = W x with x in column 0 and y in column 1 of the matrix' side.
std::vector<float> Multiply(OneChip&& chip, const Matrix& m, const std::vector<float>& w,
                            const std::vector<float>& x) {
  const int columns = static_cast<int>(x.size());
  chip.StoreMatrix(m, w, columns);
  chip.Store(Pair{m.side, 0, 0, 0}, Halves(x));
  PlaceMatVec(chip.placer, chip.timing, "product", m, {m.side, 0, 0, 0}, {m.side, 1, 0});
  chip.Run();
  return chip.Load(Quad{m.side, 1, 0}, m.tiles());
}

TEST(MatrixTest, StoresEveryRowAndSlotWhereItStreamsFrom) {
  for (const auto& [rows, slots, stride] : {std::array{1, 1, 1}, std::array{17 * 320 + 40, 70, 1},
                                            std::array{33 * 320, 33, 2}, std::array{321, 40, 2}}) {
    const Matrix m{kEast, 100, rows, slots, stride};
    int last = m.address;
    for (const SegmentOfTiles& part : m.Segments()) {
      for (int tile = part.first_tile; tile < part.first_tile + part.tiles; ++tile) {
        for (int slot = part.first_slot; slot < part.first_slot + part.slots; ++slot) {
          ExpectSlotAt(m, tile, slot, last);
          last += m.tile_cycles(tile);
        }
      }
    }
    EXPECT_EQ(last - m.address, m.weight_rows());
  }
}

TEST(HalfRowsTest, RowsThatAreNotThereTakeNoCycles) {
  Matrix m{kEast, 3, 2 * kTileRows, 2, 1};
  m.half_rows = 48;
  EXPECT_EQ(m.weight_rows(), 2 * 2 * 3);
  OneChip chip;
  const int columns = 2 * kHalfLanes;
  std::vector<float> w = Rounded16(RandomFloats(chip.random, size_t{1} * m.rows * columns));
  for (int r = 0; r < m.rows; ++r) {
    if (r % kHalfLanes < 48) continue;
    std::fill_n(w.begin() + size_t{1} * r * columns, columns, 0.0f);
  }
  const std::vector<float> x = Rounded16(RandomFloats(chip.random, columns));
  const Matrix whole{kEast, 0, m.rows, 2, 1};
  std::array<uint16_t, kHalfLanes> values;
  const LaneStore store = [&](int slice, int address, int lane, const uint8_t* bytes) {
    chip.memory.Store(slice, address, lane, {bytes, kHalfLanes});
  };
  for (int r = 0; r < m.rows; ++r) {
    if (r % kHalfLanes >= 48) continue;
    for (int slot = 0; slot < 2; ++slot) {
      for (int k = 0; k < kHalfLanes; ++k) {
        values[k] = FloatToHalf(w[size_t{1} * r * columns + slot * kHalfLanes + k]);
      }
      StoreWeightRow(m, r, slot, values.data(), store);
    }
  }
  chip.Store(Pair{kEast, 0, 0, 0}, Halves(x));
  PlaceMatVec(chip.placer, chip.timing, "product", m, {kEast, 0, 0, 0}, {kEast, 1, 0});
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load(Quad{kEast, 1, 0}, 2), Multiply(OneChip(), whole, w, x));
}

// ---- Matrices in strips, as runtime/compiler/memory_map.h lays them out when weights fill more
// columns.

TEST(StripsTest, ProductsOfMatricesThatFillAllColumnsAreTheSame) {
  for (int share : {1, 400, 700, MemoryMap::kWhole}) {
    OneChip chip;
    MemoryMap memory(share);
    memory.Words(kEast, 1, 40);
    const int rows = 1000, columns = 64 * 160 + 330;
    const Matrix m =
        memory.Place(kEast, rows, CeilDiv(columns, kHalfLanes), 1, share > 600 ? 3 : 2);
    ASSERT_TRUE(memory.Check().ok()) << memory.Check();
    const std::vector<float> w = Rounded16(RandomFloats(chip.random, size_t{1} * rows * columns));
    const std::vector<float> x = Rounded16(RandomFloats(chip.random, columns));
    const Matrix whole{kEast, 0, rows, m.slots, 1};
    const std::vector<float> got = Multiply(std::move(chip), m, w, x),
                             want = Multiply(OneChip(), whole, w, x);
    EXPECT_EQ(got, want) << share;
  }
}

// 20,480 B a cycle on both sides but for fill and drain, also from all eleven columns.
TEST(StripsTest, AllColumnsStreamAtFullRate) {
  for (int share : {0, 683, MemoryMap::kWhole}) {
    OneChip chip;
    MemoryMap memory(share);
    int64_t bytes = 0;
    std::vector<Product> products;
    for (Hemisphere side : {kWest, kEast}) {
      const Matrix m = memory.Place(side, 13 * kTileRows, 23);
      bytes += int64_t{m.weight_rows()} * kWeightSlices * kVectorBytes;
      const Pair x{side, 0, 0, 0};
      const Quad y{side, 1, 0};
      products.emplace_back(chip.placer, chip.timing, std::vector<ProductPart>{{"p", m, {y, y}}}, x,
                            Product::Way{});
    }
    PlaceTogether(products, [](size_t, const Product::Sum&) {});
    chip.Run();
    const int64_t cycles = Dispatch(chip.placer.Finish(), chip.timing).schedule.end;
    EXPECT_GT(bytes, 20480 * cycles * 0.95) << share;
  }
}

// x comes word by word, `apart` cycles after each other, to two matrices of 18 row tiles together.
class ComingTest : public ::testing::Test {
 protected:
  static constexpr int kWords = 9, kColumns = kWords * kLanes - kHalfLanes;
  struct Made {
    std::vector<float> y;
    int64_t cycles;
  };
  Made Make(bool turns, int apart, const std::vector<int>& order) const {
    OneChip chip;
    const Matrix a{kEast, 3, 15 * kTileRows + 7, 17, 1}, b{kEast, 3200, 2 * kTileRows, 17, 1};
    for (const Matrix& m : {a, b}) {
      const auto size = size_t{1} * m.rows * kColumns;
      chip.StoreMatrix(m, Rounded16(RandomFloats(chip.random, size)), kColumns);
    }
    chip.Store(Quad{kEast, 0, 0}, RandomFloats(chip.random, kColumns));
    for (int i = 0; i < kWords; ++i) {
      const int w = order.empty() ? i : order[i];
      Chain c(chip.timing, "x", 1);
      c.Store16(c.To16(c.Load({kEast, 0, w})), {kEast, 1, 0, w});
      chip.placer.Place(c.Build(), int64_t{apart} * (i + 1));
    }
    const Quad ya{kEast, 2, 0}, yb{kEast, 2, 20};
    std::vector<Product> products;
    products.emplace_back(chip.placer, chip.timing,
                          std::vector<ProductPart>{{"a", a, {ya, ya}}, {"b", b, {yb, yb}}},
                          Pair{kEast, 1, 0, 0}, Product::Way{turns, order});
    std::vector<std::pair<int, int>> stored;
    PlaceTogether(products, [&](size_t, const Product::Sum& now) {
      stored.emplace_back(now.part, now.tile);
    });
    EXPECT_EQ(stored.size(), 18u);
    EXPECT_EQ(stored.back(), std::pair(1, 1));
    chip.Run();
    return {chip.Load(ya, 22), Dispatch(chip.placer.Finish(), chip.timing).schedule.end};
  }
};

TEST_F(ComingTest, TurnsSaveTheWaitAndKeepTheBits) {
  const Made plain = Make(false, 300, {}), turns = Make(true, 300, {});
  EXPECT_EQ(turns.y, plain.y);
  // The first group's 16 tiles go with the words: only the last word's share is left of 16 * 170.
  EXPECT_LT(turns.cycles, plain.cycles - 16 * 17 * 10 * 3 / 4);
  EXPECT_EQ(Make(true, 1, {}).y, plain.y);
}

TEST_F(ComingTest, WordsMayComeInAnyOrder) {
  const std::vector<int> order{4, 8, 0, 5, 1, 6, 2, 7, 3};
  const Made turns = Make(true, 300, order);
  EXPECT_EQ(turns.y, Make(false, 20, order).y);
  // fp32 sums in another order differ in their last bits alone.
  const std::vector<float> natural = Make(false, 20, {}).y;
  EXPECT_NE(turns.y, natural);
  for (size_t i = 0; i < natural.size(); ++i) ASSERT_NEAR(turns.y[i], natural[i], 1e-3);
}

TEST(MatVecOrderTest, ProductsFollowEachOtherOnOneSide) {
  OneChip chip;
  const Matrix a{kEast, 0, 50, 3, 1}, b{kEast, 400, 321, 1, 1};
  const std::vector<float> wa = Rounded16(RandomFloats(chip.random, 50 * 480));
  const std::vector<float> wb = Rounded16(RandomFloats(chip.random, 321 * 160));
  chip.StoreMatrix(a, wa, 480);
  chip.StoreMatrix(b, wb, 160);
  chip.Store(Pair{kEast, 0, 0, 0}, Halves(std::vector<float>(640, 1.0f)));
  PlaceMatVec(chip.placer, chip.timing, "a", a, {kEast, 0, 0, 0}, {kEast, 2, 0});
  PlaceMatVec(chip.placer, chip.timing, "b", b, {kEast, 0, 0, 0}, {kEast, 2, 1});
  PlaceMatVec(chip.placer, chip.timing, "a again", a, {kEast, 0, 0, 0}, {kEast, 2, 3});
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load({kEast, 2, 0}, 1), chip.Load({kEast, 2, 3}, 1));
  double want = 0;
  for (int k = 0; k < 160; ++k) want += wb[320 * 160 + k];
  EXPECT_NEAR(chip.Load({kEast, 2, 2}, 1)[0], want, 160 * 2 * kUlp32);
}

}  // namespace
}  // namespace lockstep
