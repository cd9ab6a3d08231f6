// Products with several vectors: the bits of the single product for each of them, in fewer cycles.
#include "runtime/kernels/matmul.h"

#include "runtime/compiler/memory_map.h"
#include "runtime/kernels/product.h"
#include "tests/runtime/one_chip.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

struct Shape {
  int rows, slots, slot_stride, batch;
  Hemisphere side;
};
std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.batch << " x " << s.rows << "x" << s.slots << " stride " << s.slot_stride;
}

class MatMulTest : public ::testing::TestWithParam<Shape> {
 protected:
  int64_t LastCycle() const {
    int64_t last = 0;
    for (const Placer::Span& span : chip.placer.spans()) last = std::max(last, span.last);
    return last;
  }
  OneChip chip;
};

TEST_P(MatMulTest, GivesTheBitsOfEachSingleProduct) {
  const Shape s = GetParam();
  const Matrix m{s.side, 3, s.rows, s.slots, s.slot_stride};
  chip.StoreMatrix(m,
                   Rounded16(RandomFloats(chip.random, size_t{1} * s.rows * s.slots * kHalfLanes)),
                   s.slots * kHalfLanes);
  // Positions with a vector, or a word, to spare between them.
  const int stride = m.vectors() + 1, y_stride = m.tiles() + 1;
  const Pair x{s.side, 0, 2, 11};
  const Quad y{s.side, 1, 5}, single{s.side, 2, 5};
  chip.Store(x, Halves(RandomFloats(chip.random, size_t{1} * s.batch * stride * kLanes)));
  chip.Fill(y, s.batch * y_stride, 77.0f);
  chip.Fill(single, s.batch * y_stride, 77.0f);
  PlaceMatMul(chip.placer, chip.timing, "products", m, s.batch, {x, stride}, {y, y_stride});
  for (int b = 0; b < s.batch; ++b) {
    PlaceMatVec(chip.placer, chip.timing, "product", m, x + b * stride, single + b * y_stride);
  }
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load(y, s.batch * y_stride), chip.Load(single, s.batch * y_stride));
}

INSTANTIATE_TEST_SUITE_P(Shapes, MatMulTest,
                         ::testing::Values(Shape{1, 1, 1, 16, kEast}, Shape{5, 4, 1, 16, kWest},
                                           Shape{40, 5, 1, 16, kEast}, Shape{321, 3, 2, 16, kWest},
                                           Shape{700, 9, 1, 16, kEast}, Shape{330, 40, 1, 8, kWest},
                                           Shape{1000, 7, 2, 8, kEast}, Shape{640, 65, 1, 4, kEast},
                                           Shape{17 * 320, 2, 1, 3, kWest},
                                           Shape{200, 66, 1, 2, kEast},
                                           Shape{3000, 65, 1, 1, kWest},
                                           Shape{100, 31, 1, 15, kWest}));

TEST_F(MatMulTest, TakesVectorsInTheOrderOfTheSingleProduct) {
  const Matrix m{kEast, 3, 500, 9, 1};
  const std::vector<int> order{3, 4, 0, 2, 1};
  chip.StoreMatrix(m, Rounded16(RandomFloats(chip.random, size_t{500} * 9 * kHalfLanes)),
                   9 * kHalfLanes);
  const Pair x{kEast, 0, 2, 11};
  const Quad y{kEast, 1, 5}, single{kEast, 2, 5};
  chip.Store(x, Halves(RandomFloats(chip.random, size_t{16} * 5 * kLanes)));
  PlaceMatMul(chip.placer, chip.timing, "products", m, 16, {x, 5}, {y, 2}, order);
  for (int b = 0; b < 16; ++b) {
    const Quad out = single + 2 * b;
    Product product(chip.placer, chip.timing, {{"product", m, {out, out}}}, x + 5 * b, {false, order});
    while (!product.done()) product.Step();
  }
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  EXPECT_EQ(chip.Load(y, 32), chip.Load(single, 32));
}

// x and y lie in columns that weights stream from, too.
TEST_F(MatMulTest, WeightsOfAllColumnsGiveTheSameBits) {
  for (int share : {1, 700, MemoryMap::kWhole}) {
    OneChip chip;
    MemoryMap memory(share);
    memory.Words(kEast, 0, 600), memory.Words(kEast, 1, 600), memory.Words(kEast, 2, 600);
    const Matrix m = memory.Place(kEast, 700, 9, 1, kColumns);
    ASSERT_TRUE(memory.Check().ok() && !m.strips.empty()) << memory.Check();
    chip.StoreMatrix(m, Rounded16(RandomFloats(chip.random, size_t{700} * 9 * kHalfLanes)),
                     9 * kHalfLanes);
    const Pair x{kEast, 0, 2, 11};
    const Quad y{kEast, 1, 5}, single{kEast, 2, 5};
    chip.Store(x, Halves(RandomFloats(chip.random, size_t{16} * 5 * kLanes)));
    PlaceMatMul(chip.placer, chip.timing, "products", m, 16, {x, 5}, {y, 3});
    for (int b = 0; b < 16; ++b) {
      PlaceMatVec(chip.placer, chip.timing, "product", m, x + b * 5, single + b * 3);
    }
    ASSERT_NO_FATAL_FAILURE(chip.Run());
    EXPECT_EQ(chip.Load(y, 48), chip.Load(single, 48)) << share;
  }
}

// A tile takes its feeds, and what of its weights and of loading the activations does not go beside
// them: at 16 vectors 16 + 10 of the 160 cycles that they take one by one.
TEST_F(MatMulTest, InstallsEachTileOnceForAllVectors) {
  const Matrix m{kEast, 0, 640, 60, 1};
  PlaceMatMul(chip.placer, chip.timing, "products", m, 16, {{kEast, 0, 0, 0}, 30},
              {{kEast, 1, 0}, 2});
  const int64_t tiles = int64_t{m.tiles()} * m.slots;
  EXPECT_LE(LastCycle(), tiles * 26 + 200);
}

}  // namespace
}  // namespace lockstep
