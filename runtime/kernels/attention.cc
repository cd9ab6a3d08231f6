// Emission of attention (runtime/kernels/attention.h).
#include "runtime/kernels/attention.h"

#include <algorithm>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {
namespace {
constexpr int kPairs = kWeightSlices / 2;
constexpr int kBufferSlots = 2 * kActivationPairs;
constexpr int kNormaliseBatch = 12;  // a slice is read twice, at different distances
// Outward streams of the appends. They and the inward ones, and the last ALUs, leave those free that
// chains and lane reductions take: a value is appended beside the softmax.
constexpr int kDataStream = 16, kMapStream = 18, kReadMapStream = 19, kOneHotStream = 20;
constexpr int kAppendAlu = 11;
}  // namespace

int CacheShape::KeyElement(int slot, int lane) const {
  if (key_slots() == 1) return lane < head_dim ? lane : -1;
  const int half = CeilDiv(head_dim, 2), within = slot / 2 * kHalfLanes + lane;
  const int element = slot % 2 * half + within;
  return within < half && element < head_dim ? element : -1;
}

void Attention::AppendRows(const char* name, Pair rows, int stride, Single maps, int address,
                           int planes) {
  LOCKSTEP_CHECK(kPairs % batch == 0, "a batch of %d positions", batch);
  const int places = kWeightSlices / planes;
  Block b(name);
  b.Reach(std::max(shape.key_slot_rows(), shape.transpose_rows()));
  const int d_read = timing.d_func[static_cast<int>(Opcode::kRead)];
  const int data = StreamNumber(Outward(side), kDataStream);
  const int map = StreamNumber(Outward(side), kMapStream);
  // Cycle i: map i and its position's vector pass the VXM-side edge together; pair (int8: slice) i
  // scatters them.
  for (int plane = 0; plane < planes; ++plane) {
    const int slice = ColumnSlice(side, rows.column, rows.plane + plane);
    const int64_t at = Hops(kVxm, SlicePosition(slice)) - d_read;
    const int count = batch == 1 ? places : batch;
    for (int i = 0; i < places; i += count) {
      b.At(MemQueue(slice), ops::Read(rows.address, batch == 1 ? 0 : stride, data + plane), at + i,
           count);
    }
  }
  const int map_slice = ColumnSlice(side, maps.column, maps.plane);
  b.At(MemQueue(map_slice), ops::Read(maps.address, 1, map),
       Hops(kVxm, SlicePosition(map_slice)) - d_read, places);
  for (int i = 0; i < places; ++i) {
    for (int plane = 0; plane < planes; ++plane) {
      const int slice = WeightSlice(side, planes * i + plane);
      b.At(MemQueue(slice), ops::Scatter(address, 0, map, data + plane),
           i + Hops(kVxm, SlicePosition(slice)));
    }
  }
  placer.Place(b);
}

void Attention::AppendKey(Pair k, int stride, Single maps, int key_address) {
  for (int slot = 0; slot < shape.key_slots(); ++slot) {
    AppendRows("append key", k + slot, stride, maps, key_address + slot * shape.key_slot_rows(),
               shape.int8() ? 1 : 2);
  }
}

void Attention::AppendValue(Pair v, int stride, const ValueTables& tables, int value_address) {
  for (int group = 0; group < shape.value_groups(); ++group) {
    AppendRows("stage value", v + group, stride, tables.transpose_maps, tables.transpose_row, 2);
    MergeValues(tables, shape.group_elements(group), value_address + group * shape.group_rows());
  }
}

// The tile of staged values times a one-hot vector is one element of every position: a row of the
// transposed cache, whose new lanes are merged into the old row.
// In one piece: one time line, from which every address and stream follows.
void Attention::MergeValues(const ValueTables& tables, int elements, int address) {
  const TandemPlanes mxm{timing, side};
  const int d_gather = mxm.d(Opcode::kGather), d_read = mxm.d(Opcode::kRead);
  // Rows go by sixteens, one a slice pair (int8: by thirty-twos, one a slice); a slice reads its
  // next row and writes an earlier one, which must not fall into one cycle: groups of rows are as
  // far apart as that takes. Gather to scatter at distance 0.
  const int rows = shape.rows_a_word(), planes = kWeightSlices / rows;
  const int type = shape.int8() ? kTypeI8 : kTypeF16;
  const int turn = d_gather + mxm.d(Opcode::kMask) + mxm.d(Opcode::kOr);
  int group_period = rows;
  const auto collides = [&](int period) {
    for (int j = 0; j < kWeightSlices; ++j) {
      const int between = turn + 2 * Hops(kVxm, SlicePosition(WeightSlice(side, j)));
      if (between % period == 0) return true;
    }
    return false;
  };
  while (collides(group_period)) ++group_period;
  const auto when = [&](int row) { return int64_t{row} / rows * group_period + row % rows; };

  Block b("append value");
  b.Reach(shape.group_rows());
  const int element = mxm.OutStream(16), one_hot = mxm.InStream(kOneHotStream);
  const int in = StreamNumber(Inward(side), 20);  // old rows, at the VXM
  const int hot_in = StreamNumber(Inward(side), 22), others = StreamNumber(Inward(side), 30);
  const int kept = StreamNumber(Inward(side), 26);  // old rows without the lanes to be written
  const int half = StreamNumber(Inward(side), 24), placed = StreamNumber(Inward(side), 28);
  const int out = StreamNumber(Outward(side), 28);  // new rows
  const int read_map = StreamNumber(Outward(side), kReadMapStream);
  const int write_map = StreamNumber(Outward(side), kMapStream);

  const auto read_pair = [&](Pair src, int stream, int position, int64_t at, int count,
                             int stride) {
    for (int plane = 0; plane < 2; ++plane) {
      const int slice = ColumnSlice(src.side, src.column, src.plane + plane);
      b.At(MemQueue(slice), ops::Read(src.address, stride, stream + plane),
           at - Hops(SlicePosition(slice), position) - d_read, count);
    }
  };
  TileLoop loop(mxm, b, 0);
  const int64_t feed =
      loop.Next(tables.transpose_row, shape.transpose_rows(), when(elements - 1) + 1);
  const int64_t take = mxm.ResultAt(feed);
  const int64_t to_half = take + mxm.d(Opcode::kAcc) + Hops(mxm.position(), kVxm);
  const int64_t place = to_half + mxm.d(Opcode::kConvert);
  const int64_t merge = place + mxm.d(Opcode::kMask);
  const int64_t result = merge + mxm.d(Opcode::kOr);
  const int64_t invert = place - mxm.d(Opcode::kXor);
  read_pair(tables.one_hot, hot_in, kVxm, invert,
            static_cast<int>(place + when(elements - 1) - invert) + 1, 0);
  for (int first = 0; first < elements; first += rows) {
    const int n = std::min(rows, elements - first);
    const int64_t at = when(first);
    read_pair(tables.identity + first, one_hot, mxm.position(), feed + at, n, 1);
    b.At(MxmQueue(mxm.plane(), kMxmAbc), ops::AbcStream(kTypeF16, 0, one_hot), feed + at, n);
    b.At(MxmQueue(mxm.plane(), kMxmAcc), ops::Acc(kTypeF16, 0, 0, 0, element), take + at, n);
    const auto alu = [&](int i, const Instruction& instr, int64_t from) {
      b.At(VxmQueue(kAppendAlu + i), instr, from + at, n);
    };
    alu(0, ops::Convert(kTypeF32, type, element, half), to_half);
    alu(1, ops::Binary(Opcode::kMask, type, half, hot_in, placed), place);
    alu(2, ops::BinaryImm(Opcode::kXor, type, hot_in, 0xffff, others), invert);
    alu(3, ops::Binary(Opcode::kMask, type, in, others, kept), place);
    alu(4, ops::Binary(Opcode::kOr, type, placed, kept, out), merge);
  }
  // The maps flow outward past all slices for as long as any of them needs one.
  int64_t read_first = INT64_MAX, read_last = INT64_MIN;
  for (int row = 0; row < elements; ++row) {
    for (int plane = 0; plane < planes; ++plane) {
      const int slice = WeightSlice(side, planes * (row % rows) + plane);
      const int hops = Hops(kVxm, SlicePosition(slice));
      const int64_t gather = place + when(row) - hops - d_gather;
      const int at = address + row / rows;
      b.At(MemQueue(slice), ops::Gather(at, 0, read_map, in + plane), gather);
      b.At(MemQueue(slice), ops::Scatter(at, 0, write_map, out + plane), result + when(row) + hops);
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
  read_map_word(tables.map_write, write_map, result, result + when(elements - 1));
  loop.HoldAll(false);
  placer.Place(b);
}

// Queries in groups that fit into the activation buffer and, where several slots add up, into the
// accumulators.
std::vector<std::vector<Attention::Chunk>> Attention::ScoreGroups(int first_slot, int heads) const {
  const int slots = shape.key_slots();
  const int most = slots == 1 ? kBufferSlots : kAccumulators;
  std::vector<std::vector<Chunk>> groups;
  int vectors = kActivationPairs, queries = most;  // used of the last group: as if one were full
  for (int position = 0; position < batch; ++position) {
    for (int h = 0; h < heads;) {
      const int slot = first_slot + h * slots;
      const int n = std::min({heads - h, most, (kBufferSlots - slot % 2) / slots});
      const int needed = CeilDiv(slot % 2 + n * slots, 2);
      if (vectors + needed > kActivationPairs || queries + n > most) {
        groups.emplace_back();
        vectors = queries = 0;
      }
      groups.back().push_back({position, h, n, slot / 2, needed, 2 * vectors + slot % 2});
      vectors += needed, queries += n, h += n;
    }
  }
  return groups;
}

bool Attention::ScoreGroup(const std::vector<Chunk>& group, Pair q, int stride, int heads,
                           int key_address, Quad scores,
                           const std::optional<MaskedLargest>& largest) {
  const TandemPlanes mxm{timing, side};
  const int out = mxm.OutStream(0), tiles = shape.key_tiles(), slots = shape.key_slots();
  const int abc = MxmQueue(mxm.plane(), kMxmAbc), acc = MxmQueue(mxm.plane(), kMxmAcc);
  Block b("scores");
  // Queries come behind the first tile's weights, which wait for nothing.
  int64_t ready = shape.key_tile_cycles(0);
  int queries = 0;
  for (const Chunk& c : group) {
    mxm.Activate(b, q + (c.position * stride + c.vector), c.entry / 2, c.vectors, ready);
    ready += c.vectors, queries += c.heads;
  }
  const Quad first = scores + (group[0].position * heads + group[0].first_head) * tiles;
  TileLoop loop(mxm, b, 0, ready);
  std::vector<int64_t> at_vxm;
  for (int tile = 0; tile < tiles; ++tile) {
    for (int slot = 0; slot < slots; ++slot) {
      const int row = key_address + slot * shape.key_slot_rows() + shape.key_tile_row(tile);
      const int64_t feed = loop.Next(row, shape.key_tile_cycles(tile), queries, shape.format);
      int64_t at = feed;
      for (const Chunk& c : group) {
        b.At(abc, ops::AbcFeed(kTypeF16, c.entry + slot, slots), at, c.heads);
        at += c.heads;
      }
      const bool last = slot == slots - 1;
      b.At(acc, ops::Acc(kTypeF16, 0, slots > 1, slot > 0, last ? out : kNoStream),
           mxm.ResultAt(feed), queries);
      if (!last) continue;
      mxm.StoreResult(b, out, first + tile, mxm.ResultAt(feed), queries, 1, tiles);
      at_vxm.push_back(mxm.ResultAt(feed) + mxm.d(Opcode::kAcc) + Hops(mxm.position(), kVxm));
    }
  }
  // Scores are stored on their way to the VXM.
  const bool found = largest && KeepLargest(b, at_vxm, queries, *largest);
  loop.HoldAll(true);
  placer.Place(b);
  return found;
}

bool Attention::Scores(Pair q, int stride, int first_slot, int heads, int key_address, Quad scores,
                       const std::optional<MaskedLargest>& largest) {
  LOCKSTEP_CHECK(first_slot % shape.key_slots() == 0, "a head at slot %d", first_slot);
  const std::vector<std::vector<Chunk>> groups = ScoreGroups(first_slot, heads);
  const bool whole = groups.size() == 1 && batch == 1;
  bool found = false;
  for (const std::vector<Chunk>& group : groups) {
    found =
        ScoreGroup(group, q, stride, heads, key_address, scores, whole ? largest : std::nullopt);
  }
  return found;
}

// Queries first .. first + count - 1, an accumulator each (int8: two), against one group of
// elements.
void Attention::WeighGroup(Pair p, int first, int count, int heads, int group, int value_address,
                           const std::array<Quad, 2>& out, int stride) {
  const TandemPlanes mxm{timing, side};
  const int tiles = shape.key_tiles(), cycles = TileCycles(shape.group_elements(group));
  // Segments take turns with the halves of the activation buffer. Their first weights come before
  // their p, while the segment before is fed.
  const int per_segment = std::max(1, kActivationPairs / 2 / count), stream = mxm.OutStream(0);
  const int per_block = shape.block_halves();
  for (int begin = 0; begin < tiles; begin += per_segment) {
    const int n = std::min(per_segment, tiles - begin);
    const int entry = begin / per_segment % 2 * (kActivationPairs / 2);
    Block b("weigh values");
    for (int i = 0; i < count; ++i) {
      mxm.Activate(b, p + ((first + i) * tiles + begin), entry + i * n, n, cycles + int64_t{i} * n);
    }
    TileLoop loop(mxm, b, 0, cycles + int64_t{count} * n);
    int64_t feed = 0;
    for (int half = 2 * begin; half < std::min(shape.halves(), 2 * (begin + n)); ++half) {
      const int block = half / per_block, in_block = half % per_block;
      if (in_block == 0) {
        const int row = value_address + group * shape.group_rows() + block * shape.block_rows();
        const int halves = std::min(per_block, shape.halves() - half);
        feed = loop.Next(row, cycles, int64_t{count} * halves, shape.format);
      }
      const int64_t at = feed + int64_t{in_block} * count, take = mxm.ResultAt(at);
      b.At(MxmQueue(mxm.plane(), kMxmAbc),
           ops::AbcFeed(kTypeF16, 2 * entry + half - 2 * begin, 2 * n), at, count);
      const bool last = half + per_block >= shape.halves();
      b.At(MxmQueue(mxm.plane(), kMxmAcc),
           ops::Acc(kTypeF16, in_block * count, 1, block > 0, last ? stream : kNoStream), take,
           count);
      for (int i = first; last && i < first + count;) {
        const int h = i % heads, run = std::min(heads - h, first + count - i);
        const Quad to = out[in_block] + (i / heads * stride + h * shape.value_groups() + group);
        mxm.StoreResult(b, stream, to, take + i - first, run, 1, shape.value_groups());
        i += run;
      }
    }
    loop.HoldAll(false);
    for (int v = 2 * entry; v < 2 * (entry + count * n); ++v) {
      b.HoldFor(ActivationHold(side, v), 0, loop.last_feed());
    }
    placer.Place(b);
  }
}

void Attention::Weigh(Pair p, int heads, int value_address, Quad out, int stride, Quad upper) {
  const int queries = batch * heads, most = kAccumulators / shape.block_halves();
  for (int group = 0; group < shape.value_groups(); ++group) {
    for (int first = 0; first < queries; first += most) {
      WeighGroup(p, first, std::min(most, queries - first), heads, group, value_address,
                 {out, upper}, stride);
    }
  }
}

void Attention::Normalise(Quad weighed, Quad low_half, int count, Pair west, Pair east) {
  for (int i = 0; i < count; i += kNormaliseBatch) {
    Chain c(timing, "normalise", std::min(kNormaliseBatch, count - i));
    const Chain::Value sum = c.LoadShifted(weighed + i, -kHalfLanes);
    // 1 / sum, as the square of its reciprocal root; lanes of no head hold zero sums.
    const Chain::Value root = c.Unary(Opcode::kRsqrt, c.OpImm(Opcode::kAdd, sum, 1e-30f));
    const Chain::Value inverse = c.Op(Opcode::kMul, root, root);
    const Chain::Value y = c.Op(Opcode::kMul, c.Load(weighed + i), inverse);
    const Chain::Value clean = c.Op(Opcode::kMask, y, c.Load(low_half, 0));
    c.Store16(c.To16(clean), west + i);
    c.Store16(c.To16(clean), east + i);
    placer.Place(c.Build());
  }
}

void Attention::NormaliseHalves(Quad weighed, Quad upper, Quad sums, Quad low_half, int heads,
                                int stride, Pair west, Pair east) {
  const int groups = shape.value_groups();
  for (int first = 0; first < batch * groups; ++first) {
    const int position = first / groups, at = position * stride + first % groups;
    Chain c(timing, "normalise", heads);
    Chain::Value y = c.Load(weighed + at, groups);
    if (shape.halves() > 1) {
      y = c.Op(Opcode::kAdd, y, c.LoadShifted(upper + at, -kHalfLanes, groups));
    }
    // 1 / sum, as the square of its reciprocal root; it is at least 1.
    const Chain::Value root = c.Unary(Opcode::kRsqrt, c.Load(sums + position * heads));
    y = c.Op(Opcode::kMul, y, c.Op(Opcode::kMul, root, root));
    // Values were scaled so that their largest is 127.
    y = c.OpImm(Opcode::kMul, y, 1.0f / 127);
    y = c.Op(Opcode::kMask, y, c.Load(low_half, 0));
    c.Store16(c.To16(y), west + at, groups);
    c.Store16(c.To16(y), east + at, groups);
    placer.Place(c.Build());
  }
}

}  // namespace lockstep
