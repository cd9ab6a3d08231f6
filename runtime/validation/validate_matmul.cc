// V7, V8: a large matrix product as a program (runtime/validation/validate_matmul.h), and its input
// traffic.
#include "runtime/validation/validate_matmul.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/matvec.h"
#include "runtime/kernels/place.h"
#include "runtime/validation/validate_figures.h"
#include "runtime/validation/validate_testbed.h"

namespace lockstep {
namespace {

constexpr int kTileWords = 20;  // of 16 slices: 16 rows of the tile a cycle
constexpr int kActivationRank = 16, kWeightRank16 = 24;
constexpr int kActivationIn = 16, kSumOut = 20;  // outward streams; weights are 0..15
constexpr int kResultIn = 0, kPartialIn = 4;     // inward streams

struct Pass {
  int k;
  MatmulTile tile;
  int64_t feed;  // cycle of the first row
};

int FinalColumn(const MatmulShape& shape) { return (shape.k_tiles - 1) % 2 * 2; }

// Emits passes for one hemisphere.
class HalfMatmul {
 public:
  HalfMatmul(const MatmulShape& shape, const ChipTiming& timing, Hemisphere side, Block& block)
      : shape_(shape), mxm_{timing, side}, block_(block) {}

  void Emit(const Pass& pass) {
    LoadWeights(pass);
    block_.At(MxmQueue(mxm_.plane(), kMxmIw), ops::Iw(kTypeF16), pass.feed - mxm_.d(Opcode::kIw));
    Feed(pass);
    for (int half = 0; half < 2; ++half) AddUp(pass, half);
  }

 private:
  // So that the last row stands in the buffer just before the install.
  void LoadWeights(const Pass& pass) {
    const int64_t load = pass.feed - mxm_.d(Opcode::kIw) - mxm_.d(Opcode::kLw) - (kTileWords - 1);
    const MatmulWord word = WeightWord(shape_, pass.k, pass.tile.slot);
    for (int j = 0; j < 16; ++j) Outgoing(word.first_rank + j, word.address, j, load, kTileWords);
    block_.At(MxmQueue(mxm_.plane(), kMxmLw), ops::Lw(kTypeF16, 0, 8, 16, mxm_.InStream(0)), load,
              kTileWords);
  }

  void Feed(const Pass& pass) {
    const int rows = pass.tile.rows;
    // All rows, or the part of a shared tile: both hold what the other has, too.
    const int first = shape_.cut == MatmulCut::kRows ? 0 : pass.tile.first_row;
    const MatmulWord word = ActivationWord(shape_, first, pass.k);
    for (int j = 0; j < 2; ++j) {
      Outgoing(word.first_rank + j, word.address, kActivationIn + j, pass.feed, rows);
    }
    const int in = mxm_.InStream(kActivationIn), out = mxm_.OutStream(kResultIn);
    block_.At(MxmQueue(mxm_.plane(), kMxmAbc), ops::AbcStream(kTypeF16, pass.k % 2, in), pass.feed,
              rows);
    block_.At(MxmQueue(mxm_.plane(), kMxmAcc), ops::Acc(kTypeF16, 0, 0, 0, out),
              mxm_.ResultAt(pass.feed), rows);
  }

  // Sum of the rows of one half: results of this pass + what the pass before left in the other
  // buffer (0 before the first) into this pass's buffer.
  void AddUp(const Pass& pass, int half) {
    const int rows = pass.tile.rows / 2, first = half * rows;
    const int alu = VxmQueue(static_cast<int>(mxm_.side));
    const int64_t at =
        mxm_.ResultAt(pass.feed) + mxm_.d(Opcode::kAcc) + Hops(mxm_.position(), kVxm) + first;
    const int a = mxm_.OutStream(kResultIn), b = mxm_.OutStream(kPartialIn);
    const int out = mxm_.InStream(kSumOut);
    const int address = pass.tile.slot * (shape_.side_rows() / 2);
    if (pass.k == 0) {
      block_.At(alu, ops::BinaryImm(Opcode::kAdd, a, 0.0f, out), at, rows);
    } else {
      for (int k = 0; k < 4; ++k) {
        const int slice = SumSlice((pass.k + 1) % 2, half, k);
        const int64_t read = at - Hops(SlicePosition(slice), kVxm) - mxm_.d(Opcode::kRead);
        block_.At(MemQueue(slice), ops::Read(address, 1, b + k), read, rows);
      }
      block_.At(alu, ops::Binary(Opcode::kAdd, kTypeF32, a, b, out), at, rows);
    }
    for (int k = 0; k < 4; ++k) {
      const int slice = SumSlice(pass.k % 2, half, k);
      const int64_t write = at + mxm_.d(Opcode::kAdd) + Hops(kVxm, SlicePosition(slice));
      block_.At(MemQueue(slice), ops::Write(address, 1, out + k), write, rows);
    }
  }

  int SumSlice(int buffer, int half, int plane) const {
    return ColumnSlice(mxm_.side, 2 * buffer + half, plane);
  }

  // Words of a slice that pass the planes in cycles at, at + 1, ...
  void Outgoing(int rank, int address, int stream, int64_t at, int count) {
    const int slice = SliceNumber(mxm_.side, rank);
    const int64_t read = at - Hops(SlicePosition(slice), mxm_.position()) - mxm_.d(Opcode::kRead);
    block_.At(MemQueue(slice), ops::Read(address, 1, mxm_.InStream(stream)), read, count);
  }

  const MatmulShape& shape_;
  const TandemPlanes mxm_;
  Block& block_;
};

constexpr int kM = 2304, kK = 4096;

MatmulShape ShapeFor(int n) { return {kM, CeilDiv(kK, kHalfLanes), CeilDiv(n, kTileRows)}; }

double TileModel(int n) {
  const MatmulShape s = ShapeFor(n);
  return 100.0 * kK / (s.k_tiles * kHalfLanes) * n / (s.n_tiles * kTileRows);
}

// Useful multiply-adds over what the array could do from the first dispatch to the last, in %.
double Utilisation(int n, const Execution& run) {
  const double useful = double{kM} * kK * n;
  return 100.0 * useful / (static_cast<double>(run.end) * 2 * kHalfLanes * kTileRows);
}

}  // namespace

std::vector<MatmulTile> MatmulTiles(const MatmulShape& shape, Hemisphere side) {
  const int half = shape.rows / 2, first = side == Hemisphere::kWest ? 0 : half;
  std::vector<MatmulTile> tiles;
  if (shape.cut == MatmulCut::kRows) {
    for (int n = 0; n < shape.n_tiles; ++n) tiles.push_back({n, n, first, half});
    return tiles;
  }
  const int whole = shape.n_tiles / 2;
  for (int i = 0; i < whole; ++i) tiles.push_back({2 * i + static_cast<int>(side), i, 0, shape.rows});
  if (shape.n_tiles % 2 == 1) tiles.push_back({shape.n_tiles - 1, whole, first, half});
  return tiles;
}

MatmulWord ActivationWord(const MatmulShape& shape, int side_row, int k_tile) {
  const int pair = k_tile / 2;
  return {kActivationRank + pair % 4 * 2, pair / 4 * shape.side_rows() + side_row};
}

MatmulWord WeightWord(const MatmulShape& shape, int k_tile, int slot) {
  return {kWeightRank16, (slot * shape.k_tiles + k_tile) * kTileWords};
}

Quad MatmulSum(const MatmulShape& shape, int row, int n_tile) {
  const bool by_rows = shape.cut == MatmulCut::kRows || n_tile / 2 * 2 + 1 == shape.n_tiles;
  const int slot = shape.cut == MatmulCut::kRows ? n_tile : n_tile / 2;
  const int side = by_rows ? row / (shape.rows / 2) : n_tile % 2;
  const int rows = by_rows ? shape.rows / 2 : shape.rows;
  const int within = by_rows ? row % rows : row;
  return {static_cast<Hemisphere>(side), FinalColumn(shape) + within / (rows / 2),
          slot * (shape.side_rows() / 2) + within % (rows / 2)};
}

int StaleColumn(const MatmulShape& shape) { return 2 - FinalColumn(shape); }

Program MatmulProgram(const MatmulShape& shape, const ChipTiming& timing) {
  LOCKSTEP_CHECK(shape.rows % 4 == 0 && shape.rows >= 256, "%d rows", shape.rows);
  Block block("matmul");
  const TandemPlanes mxm{timing, Hemisphere::kEast};
  for (const Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
    HalfMatmul half(shape, timing, side, block);
    int64_t feed = 0;
    for (const MatmulTile& tile : MatmulTiles(shape, side)) {
      // The array is busy while it installs, so each pass costs that on top of its rows.
      for (int k = 0; k < shape.k_tiles; ++k, feed += tile.rows + mxm.d(Opcode::kIw)) {
        half.Emit({k, tile, feed});
      }
    }
  }
  return ToProgram(block, timing);
}

Rows ValidateMatmul(const ValidationOptions& options) {
  const Figure floor = {"V7",
                        FigureClass::kAnalytic,
                        "fp16 matmul 2304 x 4096 x N, least utilisation over 8 N",
                        ">= 80 %",
                        "%",
                        80,
                        100,
                        "floor 80 %",
                        "ISCA'22 Fig. 13"};
  const Figure model = {"V7",
                        FigureClass::kAnalytic,
                        "largest distance from the tile model",
                        "0 (tiles of 160 x 320)",
                        "points",
                        0,
                        3,
                        "3 points",
                        "ISCA'22 5.1, 5.2"};
  double least = 100, farthest = 0;
  std::string note = "utilisation by N:";
  int last_tiles = 0;
  Execution run;
  for (int n : {1376, 1600, 1601, 1920, 2241, 2560, 2881, 3500}) {
    if (ShapeFor(n).n_tiles != last_tiles) {
      run = RunTiming(MatmulProgram(ShapeFor(n), options.timing), options.timing);
      last_tiles = ShapeFor(n).n_tiles;
    }
    if (run.fault) return {Unmeasured(floor, run.Problem()), Unmeasured(model, run.Problem())};
    const double u = Utilisation(n, run);
    least = std::min(least, u);
    farthest = std::max(farthest, std::abs(u - TileModel(n)));
    absl::StrAppend(&note, absl::StrFormat(" %d: %.2f %% (model %.2f);", n, u, TileModel(n)));
  }
  note += " programs on the timing engine, from the first read to the last sum in SRAM";
  return {Judge(floor, least, note), Judge(model, farthest)};
}

// Two hemispheres take one row of 160 fp16 each cycle, or keep a tile for 50,000 rows.
Rows ValidateTraffic(const ValidationOptions&) {
  constexpr double kHalfBytes = 2, kRows = 100'000, kHemispheres = 2;
  const double activations = kHemispheres * kHalfLanes * kHalfBytes * kClockGhz;
  const double tile = double{kHalfLanes} * kTileRows * kHalfBytes;
  const double weights = kHemispheres * tile / (kRows / kHemispheres) * kClockGhz;
  return {Judge({"V8", FigureClass::kAnalytic,
                 "input bandwidth, 100000 squared fp16, activations streamed (computed)",
                 "570 GB/s", "GB/s", 558.6, 581.4, "2 %", "ISCA'22 5.2"},
                activations, "640 B a cycle; no program is run"),
          Judge({"V8", FigureClass::kAnalytic,
                 "input bandwidth, 100000 squared fp16, weights streamed (computed)", "3.7 GB/s",
                 "GB/s", 3.626, 3.774, "2 %", "ISCA'22 5.2"},
                weights, "each tile in both hemispheres, rows shared; no program is run")};
}

}  // namespace lockstep
