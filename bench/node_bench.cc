// Tokens of whole models on a functional node in this process, beside a plain fp32 loop over the
// same weights on one core: CPU time a token, and the ratio. What the ratio holds for small models
// is the chip's granularity: tiles of 320 x 160 however few of them a matrix fills.
//
//   node_bench [MODEL FOLDER]...     default: the built-in models/story
#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>

#include "bench/plain.h"
#include "chip/check.h"
#include "fabric/link_model.h"
#include "fabric/local_fabric.h"
#include "runtime/run/session.h"

namespace lockstep {
namespace {

constexpr int kTokens = 60, kContext = 64;

double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// The forward pass as one would write it first: fp32, row by row.
class PlainLoop {
 public:
  PlainLoop(const ModelConfig& config, const Checkpoint& weights)
      : c_(config), keys_(config.layers), values_(config.layers) {
    for (const std::string& name : weights.Names()) {
      const TensorView view = *weights.Find(name);
      std::vector<float>& w = weights_[name];
      int64_t count = 1;
      for (int64_t n : view.shape) count *= n;
      w.resize(count);
      LOCKSTEP_CHECK(weights.ReadF32(name, view.shape, std::span(w)).ok(), "%s", name);
    }
    for (int l = 0; l < c_.layers; ++l) {
      const std::string p = "model.layers." + std::to_string(l) + ".";
      layers_.push_back({&At(p + "input_layernorm.weight"), &At(p + "self_attn.q_proj.weight"),
                         &At(p + "self_attn.k_proj.weight"), &At(p + "self_attn.v_proj.weight"),
                         &At(p + "self_attn.o_proj.weight"),
                         &At(p + "post_attention_layernorm.weight"),
                         &At(p + "mlp.gate_proj.weight"), &At(p + "mlp.up_proj.weight"),
                         &At(p + "mlp.down_proj.weight")});
    }
    frequency_ = InverseFrequencies(c_);
  }

  std::vector<float> Step(int token, int position) {
    const float* row = &At("model.embed_tokens.weight")[size_t{1} * token * c_.hidden_size];
    std::vector<float> x(row, row + c_.hidden_size);
    for (int l = 0; l < c_.layers; ++l) {
      const Layer& w = layers_[l];
      std::vector<float> n = Norm(x, *w.norm1);
      Add(x, Times(*w.o, Attend(l, Times(*w.q, n), Times(*w.k, n), Times(*w.v, n), position)));
      n = Norm(x, *w.norm2);
      std::vector<float> gate = Times(*w.gate, n);
      const std::vector<float> up = Times(*w.up, n);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
      Add(x, Times(*w.down, gate));
    }
    return Times(At(c_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight"),
                 Norm(x, At("model.norm.weight")));
  }

 private:
  struct Layer {
    const std::vector<float>*norm1, *q, *k, *v, *o, *norm2, *gate, *up, *down;
  };

  const std::vector<float>& At(const std::string& name) const { return weights_.at(name); }
  static void Add(std::vector<float>& x, const std::vector<float>& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  std::vector<float> Norm(std::vector<float> x, const std::vector<float>& gain) const {
    float sum = 0;
    for (float v : x) sum += v * v;
    const float scale =
        1 / std::sqrt(sum / static_cast<float>(x.size()) + static_cast<float>(c_.rms_norm_eps));
    for (size_t i = 0; i < x.size(); ++i) x[i] *= scale * gain[i];
    return x;
  }
  std::vector<float> Rotate(std::vector<float> x, int position) const {
    const int half = c_.head_dim / 2;
    for (size_t head = 0; head < x.size(); head += c_.head_dim) {
      for (int i = 0; i < half; ++i) {
        const float angle = static_cast<float>(position * frequency_[i]);
        const float a = x[head + i], b = x[head + i + half];
        x[head + i] = a * std::cos(angle) - b * std::sin(angle);
        x[head + i + half] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
    return x;
  }
  std::vector<float> Attend(int l, const std::vector<float>& q32, const std::vector<float>& k,
                            const std::vector<float>& v, int position) {
    const int d = c_.head_dim;
    keys_[l].resize(position), values_[l].resize(position);
    keys_[l].push_back(Rotate(k, position)), values_[l].push_back(v);
    const std::vector<float> q = Rotate(q32, position);
    std::vector<float> out(q.size(), 0.0f), p(position + 1);
    for (int h = 0; h < c_.heads; ++h) {
      const int kv = h / (c_.heads / c_.kv_heads) * d;
      float top = -1e30f, sum = 0;
      for (int t = 0; t <= position; ++t) {
        float s = 0;
        for (int i = 0; i < d; ++i) s += q[h * d + i] * keys_[l][t][kv + i];
        p[t] = s / std::sqrt(static_cast<float>(d)), top = std::max(top, p[t]);
      }
      for (int t = 0; t <= position; ++t) sum += p[t] = std::exp(p[t] - top);
      for (int t = 0; t <= position; ++t) {
        for (int i = 0; i < d; ++i) out[h * d + i] += p[t] / sum * values_[l][t][kv + i];
      }
    }
    return out;
  }

  const ModelConfig c_;
  std::map<std::string, std::vector<float>> weights_;
  std::vector<Layer> layers_;
  std::vector<double> frequency_;
  std::vector<std::vector<std::vector<float>>> keys_, values_;  // by layer, position
};

// CPU seconds a token of `step(token, position)` over a text; the first two steps warm up.
template <typename Step>
double SecondsAToken(const ModelConfig& config, const Step& step) {
  double start = 0;
  for (int t = 0; t < kTokens; ++t) {
    if (t == 2) start = CpuSeconds();
    step((t * 37 + 1) % config.vocab_size, t);
  }
  return (CpuSeconds() - start) / (kTokens - 2);
}

absl::Status Measure(const std::string& folder, const ModelConfig& config,
                     const Checkpoint& weights, int chips, double plain) {
  ASSIGN_OR_RETURN(const LinkModel links, LinkModel::Create());
  ASSIGN_OR_RETURN(const Plan plan, MakePlan(config, chips, kContext));
  std::vector<Group> groups;
  const int flight = static_cast<int>(links.flight_cycles());
  std::vector<Wire> wires;
  const auto port = [chips](int from, int to) { return (to - from - 1 + chips) % chips; };
  for (int i = 0; i < chips; ++i) {
    groups.push_back({chips, i, std::vector<int>(chips, -1), flight});
    for (int j = 0; j < chips; ++j) {
      if (i == j) continue;
      groups[i].port[j] = port(i, j);
      wires.push_back({static_cast<uint32_t>(i), static_cast<uint8_t>(port(i, j)),
                       static_cast<uint8_t>(port(j, i)), static_cast<uint32_t>(j), flight});
    }
  }
  const SessionSetup setup{OneStage(plan, std::move(groups)), ChipTiming::Default(),
                           EngineKind::kFunctional};
  ASSIGN_OR_RETURN(Wiring wiring, Wiring::Create(chips, wires, setup.timing.link_ticks));
  ASSIGN_OR_RETURN(const auto fabric, LocalFabric::Create(std::move(wiring), 1));
  ASSIGN_OR_RETURN(const auto session, Session::Create(setup, fabric.get(), &weights, nullptr));
  const double node = SecondsAToken(config, [&](int token, int position) {
    LOCKSTEP_CHECK(session->Step(token, position).ok(), "step %d", position);
  });
  const double dispatches = static_cast<double>(session->cost().dispatches);
  std::printf("%-28s %5d %11.0f %10.3f %8.1f %10.3f %7.1f\n", folder.c_str(), chips, dispatches,
              node * 1e3, node * 1e9 / dispatches, plain * 1e3, node / plain);
  return absl::OkStatus();
}

absl::Status MeasureModel(const std::string& folder) {
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(folder));
  ASSIGN_OR_RETURN(const Checkpoint weights, Checkpoint::Open(folder));
  PlainLoop loop(config, weights);
  const double plain =
      SecondsAToken(config, [&](int token, int position) { loop.Step(token, position); });
  const std::string name = folder.substr(folder.find_last_of('/') + 1);
  for (int chips : {1, 8}) {
    const absl::Status status = Measure(name, config, weights, chips, plain);
    if (status.code() == absl::StatusCode::kResourceExhausted) {
      std::printf("%-28s %5d does not fit\n", name.c_str(), chips);
    } else {
      RETURN_IF_ERROR(status);
    }
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  std::vector<std::string> folders(argv + 1, argv + argc);
  if (folders.empty()) folders.push_back(LOCKSTEP_SOURCE_DIR "/models/story");
  std::printf("%-28s %5s %11s %10s %8s %10s %7s\n", "model", "chips", "dispatches", "ms/token",
              "ns/disp", "plain ms", "ratio");
  for (const std::string& folder : folders) {
    const absl::Status status = lockstep::MeasureModel(folder);
    if (status.ok()) continue;
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}
