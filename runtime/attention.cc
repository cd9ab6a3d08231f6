// Emission of attention (runtime/attention.h).
#include "runtime/attention.h"

#include <algorithm>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {
namespace {
constexpr int kPairs = kWeightSlices / 2;
constexpr int kNormaliseBatch = 12;  // a slice is read twice, at different distances
// Outward streams of the appends.
constexpr int kDataStream = 0, kMapStream = 2, kReadMapStream = 3;
}  // namespace

void Attention::AppendKey(Pair k, Single maps, int key_address) {
  Block b("append key");
  const int d_read = timing.d_func[static_cast<int>(Opcode::kRead)];
  const int lo = StreamNumber(Outward(side), kDataStream);
  const int map = StreamNumber(Outward(side), kMapStream);
  // Cycle i: map i and the key pass the VXM-side edge together; pair i scatters them.
  for (int plane = 0; plane < 2; ++plane) {
    const int slice = ColumnSlice(side, k.column, k.plane + plane);
    b.At(MemQueue(slice), ops::Read(k.address, 0, lo + plane),
         Hops(kVxm, SlicePosition(slice)) - d_read, kPairs);
  }
  const int map_slice = ColumnSlice(side, maps.column, maps.plane);
  b.At(MemQueue(map_slice), ops::Read(maps.address, 1, map),
       Hops(kVxm, SlicePosition(map_slice)) - d_read, kPairs);
  for (int i = 0; i < kPairs; ++i) {
    for (int plane = 0; plane < 2; ++plane) {
      const int slice = WeightSlice(side, 2 * i + plane);
      b.At(MemQueue(slice), ops::Scatter(key_address, 0, map, lo + plane),
           i + Hops(kVxm, SlicePosition(slice)));
    }
  }
  placer.Place(b);
}

void Attention::AppendValue(Pair v, const ValueTables& tables, int value_address) {
  const TandemPlanes mxm{timing, side};
  const int d_gather = mxm.d(Opcode::kGather), d_read = mxm.d(Opcode::kRead);
  const int rows = shape.head_dim;
  // Rows go by sixteens, one a slice pair; a pair reads its next row and writes an earlier one, which
  // must not fall into one cycle: groups of rows are as far apart as that takes.
  // Gather to scatter at distance 0.
  const int turn = d_gather + mxm.d(Opcode::kMask) + mxm.d(Opcode::kOr);
  int group_period = kPairs;
  const auto collides = [&](int period) {
    for (int j = 0; j < kWeightSlices; ++j) {
      const int between = turn + 2 * Hops(kVxm, SlicePosition(WeightSlice(side, j)));
      if (between % period == 0) return true;
    }
    return false;
  };
  while (collides(group_period)) ++group_period;
  const auto when = [&](int row) { return int64_t{row} / kPairs * group_period + row % kPairs; };

  Block b("append value");
  const int groups = CeilDiv(rows, kPairs);
  const int in = StreamNumber(Inward(side), 8);         // old rows, at the VXM
  const int v_in = StreamNumber(Inward(side), 12);      // the value, again and again
  const int id_in = StreamNumber(Inward(side), 16);
  const int hot_in = StreamNumber(Inward(side), 20), others = StreamNumber(Inward(side), 22);
  const int kept = StreamNumber(Inward(side), 26);      // old rows without the lane to be written
  const int picked = StreamNumber(Outward(side), 4);    // one element of the value, to the MXM
  const int half = StreamNumber(Inward(side), 24), placed = StreamNumber(Inward(side), 28);
  const int out = StreamNumber(Outward(side), 8);       // new rows
  const int read_map = StreamNumber(Outward(side), kReadMapStream);
  const int write_map = StreamNumber(Outward(side), kMapStream);

  const auto read_pair = [&](Pair src, int stream, int64_t at, int count, int stride) {
    for (int plane = 0; plane < 2; ++plane) {
      const int slice = ColumnSlice(src.side, src.column, src.plane + plane);
      b.At(MemQueue(slice), ops::Read(src.address, stride, stream + plane),
           at - Hops(SlicePosition(slice), kVxm) - d_read, count);
    }
  };
  // All-ones weights: the array copies one element to all its outputs.
  const int64_t pick = 0;  // the VXM picks row 0's element
  const int64_t feed = pick + mxm.d(Opcode::kMask) + Hops(kVxm, mxm.position());
  const int64_t install = feed - mxm.d(Opcode::kIw) - 1;
  // As many outputs as a block of the cache has positions.
  const int load_cycles = TileCycles(std::min(kHalfLanes, shape.context));
  mxm.Stream(b, tables.ones_address, load_cycles, install - load_cycles, 0);
  mxm.LoadTile(b, load_cycles, install - load_cycles);
  mxm.Install(b, install);
  const int64_t take = mxm.ResultAt(feed);
  const int64_t to_half = take + mxm.d(Opcode::kAcc) + Hops(mxm.position(), kVxm);
  const int64_t place = to_half + mxm.d(Opcode::kConvert);
  const int64_t merge = place + mxm.d(Opcode::kMask);
  const int64_t result = merge + mxm.d(Opcode::kOr);
  const int64_t invert = place - mxm.d(Opcode::kXor);
  read_pair(tables.one_hot, hot_in, invert,
            static_cast<int>(place + when(rows - 1) - invert) + 1, 0);
  for (int g = 0; g < groups; ++g) {
    const int n = std::min(kPairs, rows - g * kPairs);
    const int64_t at = when(g * kPairs);
    read_pair(v, v_in, pick + at, n, 0);
    read_pair(tables.identity + g * kPairs, id_in, pick + at, n, 1);
    b.At(VxmQueue(0), ops::Binary(Opcode::kMask, kTypeF16, v_in, id_in, picked), pick + at, n);
    b.At(MxmQueue(mxm.plane(), kMxmAbc), ops::AbcStream(kTypeF16, 0, picked), feed + at, n);
    b.At(MxmQueue(mxm.plane(), kMxmAcc), ops::Acc(kTypeF16, 0, 0, 0, mxm.OutStream(0)), take + at, n);
    b.At(VxmQueue(1), ops::Convert(kTypeF32, kTypeF16, mxm.OutStream(0), half), to_half + at, n);
    b.At(VxmQueue(2), ops::Binary(Opcode::kMask, kTypeF16, half, hot_in, placed), place + at, n);
    b.At(VxmQueue(3), ops::BinaryImm(Opcode::kXor, kTypeF16, hot_in, 0xffff, others), invert + at,
         n);
    b.At(VxmQueue(4), ops::Binary(Opcode::kMask, kTypeF16, in, others, kept), place + at, n);
    b.At(VxmQueue(5), ops::Binary(Opcode::kOr, kTypeF16, placed, kept, out), merge + at, n);
  }
  // The maps flow outward past all slices for as long as any of them needs one.
  int64_t read_first = INT64_MAX, read_last = INT64_MIN;
  for (int row = 0; row < rows; ++row) {
    for (int plane = 0; plane < 2; ++plane) {
      const int slice = WeightSlice(side, 2 * (row % kPairs) + plane);
      const int hops = Hops(kVxm, SlicePosition(slice));
      const int64_t gather = place + when(row) - hops - d_gather;
      const int address = value_address + row / kPairs;
      b.At(MemQueue(slice), ops::Gather(address, 0, read_map, in + plane), gather);
      b.At(MemQueue(slice), ops::Scatter(address, 0, write_map, out + plane),
           result + when(row) + hops);
      read_first = std::min(read_first, gather - hops);
      read_last = std::max(read_last, gather - hops);
    }
  }
  const auto read_map_word = [&](Single map, int stream, int64_t first, int64_t last) {
    const int slice = ColumnSlice(side, map.column, map.plane);
    b.At(MemQueue(slice), ops::Read(map.address, 0, stream),
         first + Hops(kVxm, SlicePosition(slice)) - d_read, static_cast<int>(last - first) + 1);
  };
  read_map_word(tables.map_read, read_map, read_first, read_last);
  read_map_word(tables.map_write, write_map, result, result + when(rows - 1));
  b.HoldFor(HoldIndex(Hold::kWeightBuffer, side), install - load_cycles, install - 1);
  b.HoldFor(HoldIndex(Hold::kArray, side), install, feed + when(rows - 1));
  b.HoldFor(HoldIndex(Hold::kAccumulators, side), take, take + when(rows - 1));
  placer.Place(b);
}

void Attention::Scores(Pair q, int first_slot, int heads, int key_address, Quad scores) {
  const TandemPlanes mxm{timing, side};
  const int out = mxm.OutStream(0), tiles = shape.key_tiles();
  const int first_vector = first_slot / 2, last_vector = (first_slot + heads - 1) / 2;
  const int vectors = last_vector - first_vector + 1;
  LOCKSTEP_CHECK(vectors <= kActivationPairs, "%d query heads share one key head", heads);
  Block b("scores");
  mxm.Activate(b, q + first_vector, 0, vectors, 0);
  int64_t load = vectors, last_install = 0, last_feed = 0, first_install = 0, first_take = 0;
  int row = key_address;
  for (int tile = 0; tile < tiles; ++tile) {
    const int cycles = shape.key_tile_cycles(tile);
    mxm.Stream(b, row, cycles, load);
    mxm.LoadTile(b, cycles, load);
    // An install waits for the feeds of the tile before; the loads of a tile wait for that install.
    const int64_t install = std::max(mxm.InstallAt(load + cycles - 1), last_feed + 1);
    const int64_t feed = mxm.FeedAt(install), take = mxm.ResultAt(feed);
    mxm.Install(b, install);
    b.At(MxmQueue(mxm.plane(), kMxmAbc), ops::AbcFeed(kTypeF16, first_slot - 2 * first_vector, 1),
         feed, heads);
    b.At(MxmQueue(mxm.plane(), kMxmAcc), ops::Acc(kTypeF16, 0, 0, 0, out), take, heads);
    mxm.StoreResult(b, out, scores + tile, take, heads, 1, tiles);
    if (tile == 0) first_install = install, first_take = take;
    last_install = install, last_feed = feed + heads - 1;
    load = std::max(load + cycles, install);
    row += cycles;
  }
  b.HoldFor(HoldIndex(Hold::kWeightBuffer, side), vectors, last_install - 1);
  b.HoldFor(HoldIndex(Hold::kArray, side), first_install, last_feed);
  b.HoldFor(HoldIndex(Hold::kActivations, side), 0, last_feed);
  b.HoldFor(HoldIndex(Hold::kAccumulators, side), first_take, mxm.ResultAt(last_feed));
  placer.Place(b);
}

void Attention::Softmax(Quad scores, Quad bias, Quad maxima, int heads, Pair p) {
  const int tiles = shape.key_tiles();
  if (tiles == 1) {
    Chain c(timing, "softmax mask", heads);
    c.Store(c.Op(Opcode::kAdd, c.Load(scores), c.Load(bias, 0)), maxima);
    placer.Place(c.Build());
  }
  for (int h = 0; tiles > 1 && h < heads; ++h) {
    Chain c(timing, "softmax mask", tiles, AccumulatePeriod(timing, Opcode::kMax));
    const Chain::Value masked = c.Op(Opcode::kAdd, c.Load(scores + h * tiles), c.Load(bias));
    c.Store(c.Accumulate(Opcode::kMax, masked), maxima + h);
    placer.Place(c.Build());
  }
  Kernels{timing, placer}.LaneMax(maxima, maxima + heads, heads);
  // One chain over the heads, or one over the tiles of each head.
  const int outer = tiles == 1 ? 1 : heads, inner = tiles == 1 ? heads : tiles;
  for (int h = 0; h < outer; ++h) {
    Chain c(timing, "softmax exp", inner);
    const Chain::Value masked =
        c.Op(Opcode::kAdd, c.Load(scores + h * tiles), c.Load(bias, tiles == 1 ? 0 : 1));
    const Chain::Value max = c.Load(maxima + heads + h, tiles == 1 ? 1 : 0);
    const Chain::Value e = c.Unary(Opcode::kExp, c.Op(Opcode::kSub, masked, max));
    c.Store16(c.To16(e), p + h * tiles);
    placer.Place(c.Build());
  }
}

void Attention::Weigh(Pair p, int heads, int value_address, Quad weighed) {
  const TandemPlanes mxm{timing, side};
  LOCKSTEP_CHECK(heads <= kAccumulators, "%d query heads share one value head", heads);
  const int tiles = shape.key_tiles(), cycles = shape.block_rows();
  const int per_segment = std::max(1, kActivationPairs / heads);
  const int out = mxm.OutStream(0);
  for (int first = 0; first < tiles; first += per_segment) {
    const int n = std::min(per_segment, tiles - first);
    Block b("weigh values");
    for (int h = 0; h < heads; ++h) {
      mxm.Activate(b, p + h * tiles + first, h * n, n, int64_t{h} * n);
    }
    int64_t load = int64_t{heads} * n, last_install = 0, last_feed = 0;
    int64_t first_install = 0, first_take = 0;
    const int64_t first_load = load;
    const int last_block = std::min(shape.blocks(), 2 * (first + n)) - 1;
    for (int block = 2 * first; block <= last_block; ++block) {
      const int row = value_address + block * cycles;
      mxm.Stream(b, row, cycles, load);
      mxm.LoadTile(b, cycles, load);
      const int64_t install = std::max(mxm.InstallAt(load + cycles - 1), last_feed + 1);
      const int64_t feed = mxm.FeedAt(install), take = mxm.ResultAt(feed);
      mxm.Install(b, install);
      b.At(MxmQueue(mxm.plane(), kMxmAbc), ops::AbcFeed(kTypeF16, block - 2 * first, 2 * n), feed,
           heads);
      const bool emit = block == shape.blocks() - 1;
      b.At(MxmQueue(mxm.plane(), kMxmAcc),
           ops::Acc(kTypeF16, 0, 1, block > 0, emit ? out : kNoStream), take, heads);
      if (emit) mxm.StoreResult(b, out, weighed, take, heads);
      if (block == 2 * first) first_install = install, first_take = take;
      last_install = install, last_feed = feed + heads - 1;
      load = std::max(load + cycles, install);
    }
    b.HoldFor(HoldIndex(Hold::kWeightBuffer, side), first_load, last_install - 1);
    b.HoldFor(HoldIndex(Hold::kArray, side), first_install, last_feed);
    b.HoldFor(HoldIndex(Hold::kActivations, side), 0, last_feed);
    b.HoldFor(HoldIndex(Hold::kAccumulators, side), first_take, mxm.ResultAt(last_feed));
    placer.Place(b);
  }
}

void Attention::Normalise(Quad weighed, Quad low_half, int heads, Pair west, Pair east) {
  for (int h = 0; h < heads; h += kNormaliseBatch) {
    Chain c(timing, "normalise", std::min(kNormaliseBatch, heads - h));
    const Chain::Value sum = c.LoadShifted(weighed + h, -kHalfLanes);
    // 1 / sum, as the square of its reciprocal root; lanes of no head hold zero sums.
    const Chain::Value root = c.Unary(Opcode::kRsqrt, c.OpImm(Opcode::kAdd, sum, 1e-30f));
    const Chain::Value inverse = c.Op(Opcode::kMul, root, root);
    const Chain::Value y = c.Op(Opcode::kMul, c.Load(weighed + h), inverse);
    const Chain::Value clean = c.Op(Opcode::kMask, y, c.Load(low_half, 0));
    c.Store16(c.To16(clean), west + h);
    c.Store16(c.To16(clean), east + h);
    placer.Place(c.Build());
  }
}

}  // namespace lockstep
