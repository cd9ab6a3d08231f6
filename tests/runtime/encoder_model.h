#pragma once
// Random encoder layers for tests: weights, the same in plain double precision, and their places on a chip.

#include <array>
#include <cmath>
#include <functional>
#include <span>
#include <vector>

#include "runtime/validation/encoder.h"
#include "tests/runtime/one_chip.h"

namespace lockstep::encoders {

using Floats = std::vector<float>;
using Rows = std::vector<std::vector<double>>;

struct Weights {
  Floats q, k, v, o, up, down;  // rows x columns
  Floats q_bias, k_bias, v_bias, o_bias, up_bias, down_bias;
  Floats gain[2], shift[2];
};

inline Weights RandomWeights(std::mt19937& random, const EncoderShape& s) {
  const int h = s.hidden();
  const auto matrix = [&](int rows, int columns) {
    const double size = 1.5 * std::sqrt(3.0 / columns);
    return Rounded16(RandomFloats(random, size_t{1} * rows * columns, -size, size));
  };
  const auto vector = [&](int n, double middle) {
    return RandomFloats(random, n, middle - 0.5, middle + 0.5);
  };
  return {matrix(h, h),   matrix(h, h),  matrix(h, h), matrix(h, h),     matrix(s.ffn, h),
          matrix(h, s.ffn), vector(h, 0), vector(h, 0), vector(h, 0),     vector(h, 0),
          vector(s.ffn, 0), vector(h, 0), {vector(h, 1), vector(h, 1)},   {vector(h, 0), vector(h, 0)}};
}

// --- the reference ---

inline std::vector<double> Product(const Floats& w, const Floats& bias, const std::vector<double>& x) {
  std::vector<double> y(bias.begin(), bias.end());
  for (size_t r = 0; r < y.size(); ++r) {
    for (size_t k = 0; k < x.size(); ++k) y[r] += double{w[r * x.size() + k]} * x[k];
  }
  return y;
}
inline std::vector<double> LayerNorm(std::vector<double> x, const Floats& gain, const Floats& shift) {
  double mean = 0, variance = 0;
  for (double v : x) mean += v / x.size();
  for (double v : x) variance += (v - mean) * (v - mean) / x.size();
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = (x[i] - mean) / std::sqrt(variance + 1e-12) * gain[i] + shift[i];
  }
  return x;
}
inline std::vector<double> AddUp(std::vector<double> a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}
inline double Gelu(double z) {
  return z / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z)));
}

inline std::vector<double> HeadsOf(const EncoderShape& s, const std::vector<double>& q, const Rows& k,
                            const Rows& v) {
  std::vector<double> out(s.hidden(), 0.0);
  for (int first = 0; first < s.hidden(); first += s.head_dim) {
    std::vector<double> p;
    double sum = 0;
    for (const auto& key : k) {
      double score = 0;
      for (int i = first; i < first + s.head_dim; ++i) score += q[i] * key[i];
      p.push_back(std::exp(score / std::sqrt(double(s.head_dim))));
      sum += p.back();
    }
    for (size_t t = 0; t < v.size(); ++t) {
      for (int i = first; i < first + s.head_dim; ++i) out[i] += p[t] / sum * v[t][i];
    }
  }
  return out;
}
inline Rows Reference(const EncoderShape& s, const Weights& w, const Rows& x) {
  Rows k, v, out;
  for (const auto& row : x) {
    k.push_back(Product(w.k, w.k_bias, row));
    v.push_back(Product(w.v, w.v_bias, row));
  }
  for (const auto& row : x) {
    const auto heads = HeadsOf(s, Product(w.q, w.q_bias, row), k, v);
    const auto y = LayerNorm(AddUp(row, Product(w.o, w.o_bias, heads)), w.gain[0], w.shift[0]);
    auto middle = Product(w.up, w.up_bias, y);
    for (double& z : middle) z = Gelu(z);
    out.push_back(
        LayerNorm(AddUp(y, Product(w.down, w.down_bias, middle)), w.gain[1], w.shift[1]));
  }
  return out;
}

// --- the chip ---

// Row r, column c of a matrix as the chip has it come from row row(r), column column(c) of `w`; -1: zero.
using From = std::function<int(int)>;

// Rows that come from nowhere are left out: where heads are short the chip has no words for them.
inline void Store(HostMemory& memory, const SplitMatrix& m, const Floats& w, int columns, const From& row,
           const From& column) {
  const LaneStore store = [&](int slice, int address, int lane, const uint8_t* bytes) {
    memory.Store(slice, address, lane, {bytes, kHalfLanes});
  };
  for (const SplitMatrix::Part& part : m.parts) {
    for (int i = 0; i < part.matrix.rows * part.matrix.slots; ++i) {
      const int r = i / part.matrix.slots, slot = i % part.matrix.slots;
      const int from = row(part.first_row + r);
      if (from < 0) continue;
      std::array<uint16_t, kHalfLanes> values{};
      for (int k = 0; k < kHalfLanes; ++k) {
        const int at = column(slot * kHalfLanes + k);
        if (at >= 0) values[k] = FloatToHalf(w[size_t{1} * from * columns + at]);
      }
      StoreWeightRow(part.matrix, r, slot, values.data(), store);
    }
  }
}
inline void StoreVector(HostMemory& memory, Quad at, int words, const Floats& values, const From& from) {
  Floats lanes(words * kLanes, 0.0f);
  for (int i = 0; i < words * kLanes; ++i) {
    if (const int j = from(i); j >= 0) lanes[i] = values[j];
  }
  for (int w = 0; w < words; ++w) {
    StoreQuad(memory, at + w, std::span(lanes).subspan(w * kLanes, kLanes));
  }
}

// Element of a vector of heads that stand `apart` rows apart, twice (at +160) or once.
inline From Heads(const EncoderShape& s, int apart, bool twice) {
  return [=](int r) {
    const int within = twice ? r % apart % kHalfLanes : r % apart;
    return within < s.head_dim && r / apart < s.heads ? r / apart * s.head_dim + within : -1;
  };
}
inline From Plain(int size) {
  return [size](int i) { return i < size ? i : -1; };
}

inline void StoreLayer(HostMemory& memory, const EncoderShape& s, const EncoderLayer& l, const Weights& w) {
  const int h = s.hidden();
  const From halves = Heads(s, kHalfLanes, false), twice = Heads(s, kTileRows, true);
  const From once = Heads(s, kTileRows, false), plain = Plain(h), middle = Plain(s.ffn);
  Store(memory, l.q, w.q, h, halves, plain);
  Store(memory, l.k, w.k, h, twice, plain);
  Store(memory, l.v, w.v, h, once, plain);
  Store(memory, l.o, w.o, h, plain, halves);
  Store(memory, l.up, w.up, h, middle, plain);
  Store(memory, l.down, w.down, s.ffn, plain, middle);
  StoreVector(memory, l.q_bias, s.query_vectors(), w.q_bias, halves);
  StoreVector(memory, l.k_bias, s.heads, w.k_bias, twice);
  StoreVector(memory, l.v_bias, s.heads, w.v_bias, once);
  StoreVector(memory, l.o_bias, s.words(), w.o_bias, plain);
  StoreVector(memory, l.up_bias, s.ffn_words(), w.up_bias, middle);
  StoreVector(memory, l.down_bias, s.words(), w.down_bias, plain);
  for (int i : {0, 1}) {
    const EncoderLayer::Norm& norm = i == 0 ? l.attention_norm : l.ffn_norm;
    StoreVector(memory, norm.gain, s.words(), w.gain[i], plain);
    StoreVector(memory, norm.shift, s.words(), w.shift[i], plain);
  }
}

}  // namespace lockstep::encoders
