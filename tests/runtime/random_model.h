#pragma once
// Small random Llamas: a checkpoint folder, and the same model in plain double precision.
//
// The reference shares nothing with runtime/ but ModelConfig: it multiplies, normalises, rotates
// as the architecture says. Asked to, it moves every value that the chip rounds to fp16 by 2^-11 of
// itself, up or down at random: how far that moves the logits is what rounding may do to this
// model.

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chip/half.h"
#include "runtime/files/number_format.h"
#include "runtime/model/model_config.h"
#include "tests/runtime/model_files.h"

namespace lockstep {

class RandomModel {
 public:
  // dtype: F32, F16 or BF16, of the file.
  RandomModel(const ModelConfig& config, const std::string& dtype, uint32_t seed)
      : config(config), dtype_(dtype), random_(seed) {
    const int h = config.hidden_size, f = config.intermediate_size;
    Matrix("model.embed_tokens.weight", config.vocab_size, h, 1);
    for (int l = 0; l < config.layers; ++l) {
      const std::string p = absl::StrCat("model.layers.", l, ".");
      Gain(p + "input_layernorm.weight"), Gain(p + "post_attention_layernorm.weight");
      Matrix(p + "self_attn.q_proj.weight", config.query_size(), h, 2);
      Matrix(p + "self_attn.k_proj.weight", config.kv_size(), h, 2);
      Matrix(p + "self_attn.v_proj.weight", config.kv_size(), h, 1.5);
      Matrix(p + "self_attn.o_proj.weight", h, config.query_size(), 1);
      Matrix(p + "mlp.gate_proj.weight", f, h, 1.5), Matrix(p + "mlp.up_proj.weight", f, h, 1.5);
      Matrix(p + "mlp.down_proj.weight", h, f, 1);
    }
    Gain("model.norm.weight");
    if (!config.tie_word_embeddings) Matrix("lm_head.weight", config.vocab_size, h, 1);
  }

  // Writes model.safetensors.
  void WriteTo(const TempFolder& folder) const {
    folder.Write("model.safetensors", Safetensors("{" + header_ + "}", data_));
  }

  const std::vector<double>& At(const std::string& name) const { return tensors_.at(name); }

  const ModelConfig config;

 private:
  void Matrix(const std::string& name, int rows, int columns, double size) {
    Tensor(name, absl::StrCat(rows, ",", columns), rows * columns, 0,
           size * std::sqrt(3.0 / columns), true);
  }
  void Gain(const std::string& name) {
    Tensor(name, absl::StrCat(config.hidden_size), config.hidden_size, 1, 0.5, false);
  }
  void Tensor(const std::string& name, const std::string& shape, int count, double middle,
              double spread, bool halves) {
    const size_t begin = data_.size();
    std::vector<double>& values = tensors_[name];
    for (int i = 0; i < count; ++i) {
      float v = static_cast<float>(middle + spread * (random_() * 0x1p-31 - 1));
      if (dtype_ == "F16") v = HalfToFloat(FloatToHalf(v));
      uint32_t bits = std::bit_cast<uint32_t>(v);
      if (dtype_ == "BF16") bits &= 0xffff0000u, v = std::bit_cast<float>(bits);
      if (dtype_ == "F16") {
        AppendBytes(FloatToHalf(v), 2);
      } else {
        AppendBytes(dtype_ == "BF16" ? bits >> 16 : bits, dtype_ == "BF16" ? 2 : 4);
      }
      values.push_back(halves ? HalfToFloat(FloatToHalf(v)) : v);
    }
    absl::StrAppend(&header_, header_.empty() ? "" : ",", "\"", name, "\":{\"dtype\":\"", dtype_,
                    "\",\"shape\":[", shape, "],\"data_offsets\":[", begin, ",", data_.size(),
                    "]}");
  }
  void AppendBytes(uint32_t bits, int bytes) {
    for (int i = 0; i < bytes; ++i) data_.push_back(static_cast<char>(bits >> (8 * i)));
  }

  const std::string dtype_;
  std::mt19937 random_;
  std::string header_, data_;
  std::map<std::string, std::vector<double>> tensors_;
};

class ReferenceModel {
 public:
  // seed 0: exact; else values that the chip rounds to fp16 are moved at random. kv_cache: kInt8:
  // keys and values are kept as integers, one scale a head.
  ReferenceModel(const RandomModel& model, uint32_t seed,
                 NumberFormat kv_cache = NumberFormat::kFp16)
      : m_(model),
        c_(model.config),
        moves_(seed != 0),
        int8_cache_(kv_cache == NumberFormat::kInt8),
        random_(seed),
        keys_(c_.layers),
        values_(c_.layers) {}

  // Logits of `token` as the next of the text.
  std::vector<double> Step(int token) {
    const int h = c_.hidden_size;
    const std::vector<double>& embedding = m_.At("model.embed_tokens.weight");
    std::vector<double> x(embedding.begin() + token * h, embedding.begin() + (token + 1) * h);
    for (int l = 0; l < c_.layers; ++l) {
      const std::string p = absl::StrCat("model.layers.", l, ".");
      Add(x, Product(p + "self_attn.o_proj.weight",
                     Attend(l, p, Normed(x, p + "input_layernorm.weight"))));
      const std::vector<double> n = Normed(x, p + "post_attention_layernorm.weight");
      std::vector<double> gate = Product(p + "mlp.gate_proj.weight", n);
      const std::vector<double> up = Product(p + "mlp.up_proj.weight", n);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      Add(x, Product(p + "mlp.down_proj.weight", Moved(gate)));
    }
    ++position_;
    return Product(c_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight",
                   Normed(x, "model.norm.weight"));
  }

 private:
  std::vector<double> Moved(std::vector<double> v) {
    if (moves_) {
      for (double& e : v) e *= 1 + (random_() % 2 == 0 ? 0x1p-11 : -0x1p-11);
    }
    return v;
  }
  static void Add(std::vector<double>& x, const std::vector<double>& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  std::vector<double> Product(const std::string& name, const std::vector<double>& x) const {
    const std::vector<double>& w = m_.At(name);
    std::vector<double> y(w.size() / x.size(), 0.0);
    for (size_t r = 0; r < y.size(); ++r) {
      for (size_t k = 0; k < x.size(); ++k) y[r] += w[r * x.size() + k] * x[k];
    }
    return y;
  }
  std::vector<double> Normed(std::vector<double> x, const std::string& gain) {
    double mean = 0;
    for (double v : x) mean += v * v / x.size();
    const std::vector<double>& g = m_.At(gain);
    for (size_t i = 0; i < x.size(); ++i) x[i] *= g[i] / std::sqrt(mean + c_.rms_norm_eps);
    return Moved(x);
  }
  // Rotates every head of x, as rotate_half of the architecture's published code does.
  std::vector<double> Rotated(std::vector<double> x, double scale) {
    const int d = c_.head_dim, half = d / 2;
    for (size_t head = 0; head < x.size(); head += d) {
      for (int i = 0; i < half; ++i) {
        const double angle = position_ * std::pow(c_.rope.theta, -2.0 * i / d);
        const double a = x[head + i], b = x[head + i + half];
        x[head + i] = (a * std::cos(angle) - b * std::sin(angle)) * scale;
        x[head + i + half] = (b * std::cos(angle) + a * std::sin(angle)) * scale;
      }
    }
    return Moved(x);
  }
  // Keys or values as the cache has them.
  std::vector<double> Kept(std::vector<double> x) const {
    const size_t d = c_.head_dim;
    for (size_t head = 0; int8_cache_ && head < x.size(); head += d) {
      double largest = 1e-300;
      for (size_t i = head; i < head + d; ++i) largest = std::max(largest, std::abs(x[i]));
      for (size_t i = head; i < head + d; ++i)
        x[i] = std::nearbyint(x[i] / largest * 127) * largest / 127;
    }
    return x;
  }
  std::vector<double> Attend(int l, const std::string& p, const std::vector<double>& n) {
    const int d = c_.head_dim;
    keys_[l].push_back(Kept(Rotated(Product(p + "self_attn.k_proj.weight", n), 1)));
    values_[l].push_back(Kept(Moved(Product(p + "self_attn.v_proj.weight", n))));
    const std::vector<double> q =
        Rotated(Product(p + "self_attn.q_proj.weight", n), 1 / std::sqrt(double{1} * d));
    std::vector<double> out(q.size(), 0.0);
    for (int h = 0; h < c_.heads; ++h) {
      const int kv = h / (c_.heads / c_.kv_heads) * d;
      std::vector<double> s;
      for (const std::vector<double>& key : keys_[l]) {
        s.push_back(0);
        for (int i = 0; i < d; ++i) s.back() += q[h * d + i] * key[kv + i];
      }
      const double top = *std::max_element(s.begin(), s.end());
      for (double& e : s) e = std::exp(e - top);
      s = Moved(s);
      double sum = 0;
      for (double e : s) sum += e;
      for (size_t t = 0; t < s.size(); ++t) {
        for (int i = 0; i < d; ++i) out[h * d + i] += s[t] / sum * values_[l][t][kv + i];
      }
    }
    return Moved(out);
  }

  const RandomModel& m_;
  const ModelConfig& c_;
  const bool moves_, int8_cache_;
  std::mt19937 random_;
  int position_ = 0;
  std::vector<std::vector<std::vector<double>>> keys_, values_;  // by layer, position
};

}  // namespace lockstep
