// Places and kernels of an encoder (runtime/validation/encoder.h).
#include "runtime/validation/encoder.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "chip/half.h"
#include "runtime/kernels/chain.h"
#include "runtime/kernels/kernels.h"
#include "runtime/kernels/matmul.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;
constexpr Hemisphere kSides[] = {kWest, kEast};
constexpr int kBatch = kEncoderBatch, kMaps = kWeightSlices / 2;

// Emits a layer.
class LayerPlacer {
 public:
  LayerPlacer(Placer& placer, const ChipTiming& timing, const EncoderShape& shape,
              const EncoderMap& map, const EncoderLayer& layer)
      : placer_(placer), timing_(timing), s_(shape), m_(map), l_(layer),
        attention_{timing, placer, shape.cache(), kAttentionSide, kBatch} {}

  void Place() {
    for (int b = 0; b < s_.batches(); ++b) KeysAndValues(b);
    for (int b = 0; b < s_.batches(); ++b) {
      Attend(b);
      Product("o", l_.o, m_.heads_out, s_.heads, m_.partial, s_.words());
      AddUp(l_.o, m_.x + b * kBatch * s_.words(), l_.o_bias);
      Norm(l_.attention_norm, m_.y, m_.y16, 0);
      FeedForward();
      AddUp(l_.down, m_.y, l_.down_bias);
      Norm(l_.ffn_norm, m_.x, m_.x16, b * kBatch * s_.words());
    }
  }

 private:
  // y = W x of a batch; vectors of its positions are x_stride and y_stride apart.
  void Product(const char* name, const SplitMatrix& w, const Pair x[2], int x_stride,
               const Quad y[2], int y_stride) {
    for (const SplitMatrix::Part& part : w.parts) {
      const int side = static_cast<int>(part.matrix.side);
      PlaceMatMul(placer_, timing_, name, part.matrix, kBatch, {x[side], x_stride},
                  {y[side], y_stride});
    }
  }
  // Calls each(where word `word` of position 0 lies, word).
  template <typename Each>
  void ForEachWord(const SplitMatrix& w, const Quad y[2], const Each& each) {
    for (const SplitMatrix::Part& part : w.parts) {
      const int first = part.first_row / kTileRows;
      for (int t = 0; t < part.matrix.tiles(); ++t) {
        each(y[static_cast<int>(part.matrix.side)] + t, first + t);
      }
    }
  }

  // to = (y + bias) * scale as fp16.
  void Biased16(const char* name, const SplitMatrix& w, const Quad y[2], Quad bias, float scale,
                Pair to, int stride) {
    ForEachWord(w, y, [&](Quad from, int word) {
      Chain c(timing_, name, kBatch);
      Chain::Value sum = c.Op(Opcode::kAdd, c.Load(from, stride), c.Load(bias + word, 0));
      if (scale != 1) sum = c.OpImm(Opcode::kMul, sum, scale);
      c.Store16(c.To16(sum), to + word, stride);
      placer_.Place(c.Build());
    });
  }

  void KeysAndValues(int batch) {
    const int first = batch * kBatch * s_.words();
    const Pair x[2] = {m_.x16[0] + first, m_.x16[1] + first};
    Product("k", l_.k, x, s_.words(), m_.k32, s_.heads);
    Biased16("key", l_.k, m_.k32, l_.k_bias, 1, m_.k, s_.heads);
    Product("v", l_.v, x, s_.words(), m_.v32, s_.heads);
    Biased16("value", l_.v, m_.v32, l_.v_bias, 1, m_.v, s_.heads);
    const CachePlaces& at = m_.places[batch];
    const Attention::ValueTables tables{m_.identity,       at.one_hot,        m_.transpose_row,
                                        at.transpose_maps, at.value_map_read, at.value_map_write};
    for (int h = 0; h < s_.heads; ++h) {
      attention_.AppendKey(m_.k + h, s_.heads, at.key_maps, m_.keys[h]);
      attention_.AppendValue(m_.v + h, s_.heads, tables, m_.values[h]);
    }
  }

  void Attend(int batch) {
    const int first = batch * kBatch * s_.words();
    const Pair x[2] = {m_.x16[0] + first, m_.x16[1] + first};
    Product("q", l_.q, x, s_.words(), m_.q32, s_.query_vectors());
    Biased16("query", l_.q, m_.q32, l_.q_bias,
             1 / std::sqrt(static_cast<float>(s_.head_dim)), m_.q, s_.query_vectors());
    for (int h = 0; h < s_.heads; ++h) {
      attention_.Scores(m_.q, s_.query_vectors(), h, 1, m_.keys[h], m_.scores);
      attention_.Softmax(m_.scores, m_.bias, m_.maxima, 1, m_.p);
      attention_.Weigh(m_.p, 1, m_.values[h], m_.weighed + h, s_.heads);
    }
    attention_.Normalise(m_.weighed, m_.low_half, kBatch * s_.heads, m_.heads_out[0],
                         m_.heads_out[1]);
  }

  // residual = x + W .. + bias.
  void AddUp(const SplitMatrix& w, Quad x, Quad bias) {
    ForEachWord(w, m_.partial, [&](Quad from, int word) {
      Chain c(timing_, "add up", kBatch);
      const Chain::Value sum =
          c.Op(Opcode::kAdd, c.Load(from, s_.words()), c.Load(bias + word, 0));
      c.Store(c.Op(Opcode::kAdd, sum, c.Load(x + word, s_.words())), m_.residual + word,
              s_.words());
      placer_.Place(c.Build());
    });
  }

  // Of the residual, as fp32 and as fp16 on both sides, from vector `first` on.
  void Norm(const EncoderLayer::Norm& norm, Quad y, const Pair y16[2], int first) {
    const int words = s_.words();
    for (int i = 0; i < kBatch; ++i) {
      Chain c(timing_, "moments", words, AccumulatePeriod(timing_, Opcode::kAdd));
      const Chain::Value v = c.Load(m_.residual + i * words);
      c.Store(c.Accumulate(Opcode::kAdd, v), m_.sums + i);
      c.Store(c.Accumulate(Opcode::kAdd, c.Op(Opcode::kMul, v, v)), m_.squares + i);
      placer_.Place(c.Build());
    }
    Kernels kernels{timing_, placer_};
    kernels.LaneSum(m_.sums, m_.sums + kBatch, kBatch);
    kernels.LaneSum(m_.squares, m_.squares + kBatch, kBatch);
    Moments();
    for (int i = 0; i < kBatch; ++i) {
      Chain c(timing_, "normalise", words);
      const Chain::Value scaled =
          c.Op(Opcode::kMul, c.Load(m_.residual + i * words), c.Load(m_.inverse + i, 0));
      c.Store(c.Op(Opcode::kAdd, scaled, c.Load(m_.offset + i, 0)), m_.normed + i * words);
      placer_.Place(c.Build());
      Chain g(timing_, "gain", words);
      const Chain::Value scaled_up =
          g.Op(Opcode::kMul, g.Load(m_.normed + i * words), g.Load(norm.gain));
      const Chain::Value out = g.Op(Opcode::kAdd, scaled_up, g.Load(norm.shift));
      const int at = first + i * words;
      g.Store(out, y + at);
      for (int side : {0, 1}) g.Store16(g.To16(out), y16[side] + at);
      placer_.Place(g.Build());
    }
  }
  // inverse = 1 / sqrt(var + epsilon), offset = -mean * inverse; var = mean of squares - mean^2.
  void Moments() {
    const float n = 1 / static_cast<float>(s_.hidden());
    Chain c(timing_, "variance", kBatch);
    const Chain::Value mean = c.OpImm(Opcode::kMul, c.Load(m_.sums + kBatch), n);
    const Chain::Value square = c.OpImm(Opcode::kMul, c.Load(m_.squares + kBatch), n);
    const Chain::Value variance =
        c.Op(Opcode::kSub, square, c.Op(Opcode::kMul, mean, mean));
    c.Store(c.Unary(Opcode::kRsqrt, c.OpImm(Opcode::kAdd, variance, s_.epsilon)), m_.inverse);
    placer_.Place(c.Build());
    Chain o(timing_, "offset", kBatch);
    const Chain::Value minus = o.OpImm(Opcode::kMul, o.Load(m_.sums + kBatch), -n);
    o.Store(o.Op(Opcode::kMul, minus, o.Load(m_.inverse)), m_.offset);
    placer_.Place(o.Build());
  }

  // Gelu(z) = z / 2 (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))).
  void FeedForward() {
    Product("up", l_.up, m_.y16, s_.words(), m_.ffn32, s_.ffn_words());
    ForEachWord(l_.up, m_.ffn32, [&](Quad from, int word) {
      Chain c(timing_, "up bias", kBatch);
      c.Store(c.Op(Opcode::kAdd, c.Load(from, s_.ffn_words()), c.Load(l_.up_bias + word, 0)),
              m_.ffn_biased + word, s_.ffn_words());
      placer_.Place(c.Build());
      Gelu(word);
    });
    Product("down", l_.down, m_.mlp, s_.ffn_words(), m_.partial, s_.words());
  }
  void Gelu(int word) {
    constexpr float kScale = 0.7978845608f;  // sqrt(2 / pi)
    const int stride = s_.ffn_words();
    Chain t(timing_, "gelu's tanh", kBatch);
    const Chain::Value z = t.Load(m_.ffn_biased + word, stride);
    const Chain::Value cubic =
        t.OpImm(Opcode::kMul, t.Op(Opcode::kMul, z, z), 0.044715f * kScale);
    const Chain::Value inner = t.Op(Opcode::kMul, t.OpImm(Opcode::kAdd, cubic, kScale), z);
    t.Store(t.OpImm(Opcode::kAdd, t.Unary(Opcode::kTanh, inner), 1.0f), m_.ffn_tanh + word, stride);
    placer_.Place(t.Build());
    Chain c(timing_, "gelu", kBatch);
    const Chain::Value half = c.OpImm(Opcode::kMul, c.Load(m_.ffn_biased + word, stride), 0.5f);
    const Chain::Value y = c.Op(Opcode::kMul, half, c.Load(m_.ffn_tanh + word, stride));
    for (int side : {0, 1}) c.Store16(c.To16(y), m_.mlp[side] + word, stride);
    placer_.Place(c.Build());
  }

  Placer& placer_;
  const ChipTiming& timing_;
  const EncoderShape& s_;
  const EncoderMap& m_;
  const EncoderLayer& l_;
  Attention attention_;
};

}  // namespace

int64_t EncoderShape::LayerMacs() const {
  const int64_t h = hidden(), n = positions;
  return n * (4 * h * h + 2 * h * ffn) + 2 * n * n * h;
}

absl::Status EncoderShape::Check() const {
  if (positions >= kBatch && positions % kBatch == 0 && heads >= 1 && head_dim >= 1 &&
      head_dim <= kHalfLanes && ffn >= 1) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "an encoder of ", positions, " positions (a multiple of ", kBatch, "), ", heads,
      " heads of ", head_dim, " (1 to ", kHalfLanes, ") and ", ffn, " in the middle"));
}

// Half of the row tiles go to each side.
SplitMatrix EncoderMap::Split(int rows, int slots, int slot_stride, int half_rows) {
  const int tiles = CeilDiv(rows, kTileRows);
  const int west = tiles / 2 + (tiles % 2 == 1 && memory_.Roomier() == kWest ? 1 : 0);
  SplitMatrix out;
  for (const Hemisphere side : kSides) {
    const int first = side == kWest ? 0 : west * kTileRows;
    Matrix part{.side = side, .slots = slots, .slot_stride = slot_stride, .half_rows = half_rows};
    part.rows = side == kWest ? std::min(west * kTileRows, rows) : std::max(0, rows - first);
    if (part.rows > 0) out.parts.push_back({memory_.Place(part), first});
  }
  return out;
}

void EncoderMap::MapLayer(const EncoderShape& s, EncoderLayer& l) {
  const int hidden = CeilDiv(s.hidden(), kHalfLanes), d = s.head_dim;
  l.q = Split((s.heads - 1) * kHalfLanes + d, hidden, 1, d);
  l.k = Split((s.heads - 1) * kTileRows + kHalfLanes + d, hidden, 1, d);
  l.v = Split((s.heads - 1) * kTileRows + d, hidden, 1, d);
  l.o = Split(s.hidden(), s.heads, 2, kHalfLanes);
  l.up = Split(s.ffn, hidden, 1, kHalfLanes);
  l.down = Split(s.hidden(), CeilDiv(s.ffn, kHalfLanes), 1, kHalfLanes);
  l.q_bias = memory_.Words(kEast, 0, s.query_vectors());
  l.k_bias = memory_.Words(kEast, 0, s.heads);
  l.v_bias = memory_.Words(kEast, 0, s.heads);
  for (Quad* bias : {&l.o_bias, &l.down_bias}) *bias = memory_.Words(kEast, 0, s.words());
  l.up_bias = memory_.Words(kEast, 0, s.ffn_words());
  for (EncoderLayer::Norm* norm : {&l.attention_norm, &l.ffn_norm}) {
    norm->gain = memory_.Words(kEast, 0, s.words());
    norm->shift = memory_.Words(kWest, 2, s.words());
  }
}

void EncoderMap::MapTables(const EncoderShape& s) {
  for (int b = 0; b < s.batches(); ++b) {
    places.push_back({memory_.SingleWords(kAttentionSide, 0, 0, kMaps),
                      memory_.SingleWords(kAttentionSide, 0, 3, kMaps),
                      memory_.SingleWords(kAttentionSide, 0, 1, 1),
                      memory_.SingleWords(kAttentionSide, 0, 2, 1),
                      memory_.PairWords(kAttentionSide, 2, 2, 1)});
  }
  bias = memory_.Words(kWest, 1, kBatch * s.cache().key_tiles());
  low_half = memory_.Words(kWest, 1, 1);
  identity = memory_.PairWords(kAttentionSide, 2, 0, s.head_dim);
}

// Operands of a chain lie in different columns.
void EncoderMap::MapScratch(const EncoderShape& s) {
  const int words = kBatch * s.words(), vectors = kBatch * s.heads;
  const int ffn = kBatch * s.ffn_words(), scored = kBatch * s.cache().key_tiles();
  for (const Hemisphere side : kSides) {
    const int i = static_cast<int>(side);
    x16[i] = memory_.PairWords(side, 1, 0, s.positions * s.words());
    y16[i] = memory_.PairWords(side, 1, 0, words);
    heads_out[i] = memory_.PairWords(side, 0, 0, vectors);
    mlp[i] = memory_.PairWords(side, 0, 0, ffn);
    partial[i] = memory_.Words(side, 1, words);
    for (Quad* y : {&k32[i], &v32[i]}) *y = memory_.Words(side, 2, vectors);
    q32[i] = memory_.Words(side, 2, kBatch * s.query_vectors());
    ffn32[i] = memory_.Words(side, 2, ffn);
  }
  ffn_biased = memory_.Words(kWest, 1, ffn);
  ffn_tanh = memory_.Words(kEast, 2, ffn);
  residual = memory_.Words(kWest, 2, words);
  y = memory_.Words(kWest, 0, words);
  sums = memory_.Words(kEast, 2, 2 * kBatch);
  squares = memory_.Words(kWest, 1, 2 * kBatch);
  inverse = memory_.Words(kEast, 1, kBatch);
  offset = memory_.Words(kEast, 0, kBatch);
  normed = memory_.Words(kEast, 2, words);
  scores = memory_.Words(kAttentionSide, 2, scored);
  weighed = memory_.Words(kAttentionSide, 2, vectors);
  maxima = memory_.Words(kWest, 0, 2 * kBatch);
  k = memory_.PairWords(kAttentionSide, 1, 0, vectors);
  v = memory_.PairWords(kAttentionSide, 1, 2, vectors);
  q = memory_.PairWords(kAttentionSide, 1, 0, kBatch * s.query_vectors());
  p = memory_.PairWords(kAttentionSide, 1, 0, scored);
}

EncoderMap::EncoderMap(const EncoderShape& shape, int count) : layers(count) {
  for (int h = 0; h < shape.heads; ++h) {
    keys.push_back(memory_.WeightRows(kAttentionSide, shape.cache().key_rows()));
    values.push_back(memory_.WeightRows(kAttentionSide, shape.cache().value_rows()));
  }
  transpose_row = memory_.WeightRows(kAttentionSide, shape.cache().transpose_rows());
  x = memory_.Words(kWest, 0, shape.positions * shape.words());
  for (EncoderLayer& layer : layers) MapLayer(shape, layer);
  MapTables(shape);
  MapScratch(shape);
}

void WriteEncoderTables(const EncoderShape& shape, const EncoderMap& map, HostMemory& memory) {
  for (int b = 0; b < shape.batches(); ++b) {
    WriteCachePlaces(shape.cache(), b * kBatch, kBatch, map.places[b], memory);
  }
  const int tiles = shape.cache().key_tiles();
  std::vector<float> lanes(kLanes);
  for (int i = 0; i < kBatch * tiles; ++i) {
    for (int lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = i % tiles * kLanes + lane < shape.positions ? 0.0f : -1e30f;
    }
    StoreQuad(memory, map.bias + i, lanes);
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    lanes[lane] = lane < kHalfLanes ? std::bit_cast<float>(0xffffffffu) : 0.0f;
  }
  StoreQuad(memory, map.low_half, lanes);
  for (int e = 0; e < shape.head_dim; ++e) {
    std::vector<uint16_t> hot(kLanes, 0);
    hot[e] = FloatToHalf(1);
    StorePair(memory, map.identity + e, hot);
  }
  // Beside the values: ones, whose products are the denominators.
  const std::vector<uint8_t> low(kHalfLanes, 0x00), high(kHalfLanes, 0x3c);
  for (const int first : map.values) {
    for (int r = first; r < first + shape.cache().value_rows(); ++r) {
      for (int i = 0; i < kWeightSlices; ++i) {
        memory.Store(WeightSlice(kAttentionSide, i), r, kHalfLanes, i % 2 == 0 ? low : high);
      }
    }
  }
}

void PlaceEncoderInput(Placer& placer, const ChipTiming& timing, const EncoderShape& shape,
                       const EncoderMap& map) {
  Kernels kernels{timing, placer};
  for (const Pair& to : map.x16) kernels.ToHalf(map.x, shape.positions * shape.words(), to);
}

void PlaceEncoderLayer(Placer& placer, const ChipTiming& timing, const EncoderShape& shape,
                       const EncoderMap& map, const EncoderLayer& layer) {
  LayerPlacer(placer, timing, shape, map, layer).Place();
}

}  // namespace lockstep
