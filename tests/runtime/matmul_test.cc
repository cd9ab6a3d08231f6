// Products with several vectors: the bits of the single product for each of them, in fewer cycles.
#include "runtime/kernels/matmul.h"

#include <algorithm>
#include <numeric>

#include "chip/queue.h"
#include "runtime/compiler/memory_map.h"
#include "runtime/kernels/product.h"
#include "tests/runtime/int8_chip.h"

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

struct Int8Shape {
  int rows;
  std::vector<int> groups;  // of vectors
  int batch;
  Hemisphere side;
};
class Int8MatMulTest : public ::testing::TestWithParam<Int8Shape> {};

// Sums of every group, of each plane, as a product of a single vector makes them.
TEST_P(Int8MatMulTest, GivesTheSumsOfEachSingleProduct) {
  const Int8Shape& shape = GetParam();
  const std::vector<int>& groups = shape.groups;
  const int rows = shape.rows, batch = shape.batch;
  const Hemisphere side = shape.side;
  const int vectors = std::accumulate(groups.begin(), groups.end(), 0);
  const int sums = static_cast<int>(groups.size()), stride = vectors + 1;
  const Matrix m{side, 3, rows, vectors, 1, NumberFormat::kInt8};
  std::vector<int> order;
  for (int i = 0; i < vectors; ++i) order.push_back(i % 2 == 0 ? i / 2 : vectors - 1 - i / 2);
  Int8Chip chip;
  chip.StoreInt8Matrix(m, chip.RandomBytes(size_t{1} * rows * vectors * kLanes), vectors * kLanes);
  chip.StoreBytes({side, 0, 2, 11}, chip.RandomBytes(size_t{1} * batch * stride * kLanes));
  // Sums are kept before the next ones go to the same place: of tile t, position b and sum s at
  // (t * batch + b) * sums + s, those of the single products behind them.
  const Quad even{side, 1, 5}, odd{side, 2, 5}, kept{Other(side), 1, 0};
  const int all = m.tiles() * batch * sums;
  chip.Fill({Other(side), 0, 0}, 1, 1.0f);
  const auto keep = [&](const BatchSums& at, int to) {
    chip.int8.Dequantise({at.even, at.odd, {.scale = {Other(side), 0, 0}}}, kept + to);
  };
  const Pair x{side, 0, 2, 11};
  int stored = 0;
  PlaceInt8MatMul(chip.placer, chip.timing, "products", m, batch, {x, stride}, {even, odd}, order,
                  groups, [&](int tile, int sum, const BatchSums& at) {
                    for (int b = 0; b < batch; ++b) keep(at + b, (tile * batch + b) * sums + sum);
                    ++stored;
                  });
  EXPECT_EQ(stored, m.tiles() * sums);
  for (int b = 0; b < batch; ++b) {
    Product::Way way{.order = order, .groups = groups};
    Product product(chip.placer, chip.timing, {{"product", m, {even, odd}}}, x + b * stride, way);
    while (!product.done()) {
      const auto now = product.Step();
      const BatchSums at = BatchSums{even, odd} + (now ? now->tile : 0);
      if (now) keep(at, all + (now->tile * batch + b) * sums + now->sum);
    }
  }
  ASSERT_NO_FATAL_FAILURE(chip.Run());
  const std::vector<float> got = chip.Load(kept, all);
  EXPECT_EQ(got, chip.Load(kept + all, all));
  EXPECT_GT(std::count_if(got.begin(), got.end(), [](float v) { return v != 0; }), 0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Int8MatMulTest,
                         ::testing::Values(Int8Shape{1, {1}, 16, kEast},
                                           Int8Shape{40, {3}, 16, kWest},
                                           Int8Shape{330, {2, 4, 3}, 16, kEast},
                                           Int8Shape{700, {5, 1}, 8, kWest},
                                           Int8Shape{1000, {9, 3}, 16, kEast},
                                           Int8Shape{1700, {2, 9}, 4, kWest},
                                           Int8Shape{650, {33, 2}, 2, kEast},
                                           Int8Shape{321, {6, 7}, 15, kWest},
                                           Int8Shape{100, {66}, 1, kEast}));

// A tile takes its feeds, and what of its weights and of loading the activations does not go beside
// them: at 16 vectors 16 + 10 of the 160 cycles that they take one by one.
TEST_F(MatMulTest, InstallsEachTileOnceForAllVectors) {
  const Matrix m{kEast, 0, 640, 60, 1};
  PlaceMatMul(chip.placer, chip.timing, "products", m, 16, {{kEast, 0, 0, 0}, 30},
              {{kEast, 1, 0}, 2});
  const int64_t tiles = int64_t{m.tiles()} * m.slots;
  EXPECT_LE(LastCycle(), tiles * 26 + 200);
}

// Of int8, twice as many columns of weights, with no more: what the buffer holds of x meets the next
// row tile, too.
TEST_F(MatMulTest, InstallsEachInt8TileOnceForAllVectors) {
  const Matrix m{kEast, 0, 4 * kTileRows, 12, 1, NumberFormat::kInt8};
  PlaceInt8MatMul(chip.placer, chip.timing, "products", m, 16, {{kEast, 0, 0, 0}, 12},
                  {{kEast, 1, 0}, {kEast, 2, 0}}, {}, {}, [](int, int, const BatchSums&) {});
  const int64_t tiles = int64_t{m.tiles()} * m.slots;
  EXPECT_LE(LastCycle(), tiles * 28 + 200);
  const Program program = chip.placer.Finish();
  int64_t installs = 0;
  for (int plane : {2, 3}) {
    const std::vector<Instruction>& text = program.queues[MxmQueue(plane, kMxmIw)];
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i].op != Opcode::kIw) continue;
      const bool repeated = i + 1 < text.size() && text[i + 1].op == Opcode::kRepeat;
      installs += repeated ? text[i + 1].arg[0] + 1 : 1;
    }
  }
  EXPECT_EQ(installs, 2 * tiles);
}

}  // namespace
}  // namespace lockstep
