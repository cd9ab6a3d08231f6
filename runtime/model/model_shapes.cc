// What follows from a shape alone: the table of published shapes, parameter counts, and rotary
// frequencies.

#include <array>
#include <numbers>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/files/portable_math.h"
#include "runtime/model/model_config.h"

namespace lockstep {
namespace {

struct Shape {
  std::string_view name;
  std::string_view architecture;
  int hidden, intermediate, layers, heads, kv_heads, vocab, max_positions;
  double rope_theta;
  int bos, eos;
  int sliding_window;  // 0: none
};

// Source of each row: config.json of the model's repository on the Hugging Face hub
// (meta-llama/Llama-2-{7b,13b,70b}-hf, meta-llama/Meta-Llama-3-{8B,70B},
// mistralai/Mistral-7B-v0.1). All have rms_norm_eps 1e-5 and an untied head.
constexpr std::array<Shape, 6> kShapes = {{
    {"llama-2-7b", "LlamaForCausalLM", 4096, 11008, 32, 32, 32, 32000, 4096, 1e4, 1, 2, 0},
    {"llama-2-13b", "LlamaForCausalLM", 5120, 13824, 40, 40, 40, 32000, 4096, 1e4, 1, 2, 0},
    {"llama-2-70b", "LlamaForCausalLM", 8192, 28672, 80, 64, 8, 32000, 4096, 1e4, 1, 2, 0},
    {"llama-3-8b", "LlamaForCausalLM", 4096, 14336, 32, 32, 8, 128256, 8192, 5e5, 128000, 128001,
     0},
    {"llama-3-70b", "LlamaForCausalLM", 8192, 28672, 80, 64, 8, 128256, 8192, 5e5, 128000, 128001,
     0},
    {"mistral-7b", "MistralForCausalLM", 4096, 14336, 32, 32, 8, 32000, 32768, 1e4, 1, 2, 4096},
}};

ModelConfig FromShape(const Shape& shape) {
  ModelConfig config;
  config.architecture = std::string(shape.architecture);
  config.hidden_size = shape.hidden;
  config.intermediate_size = shape.intermediate;
  config.layers = shape.layers;
  config.heads = shape.heads;
  config.kv_heads = shape.kv_heads;
  config.head_dim = shape.hidden / shape.heads;
  config.vocab_size = shape.vocab;
  config.max_positions = shape.max_positions;
  config.rms_norm_eps = 1e-5;
  config.rope.theta = shape.rope_theta;
  config.bos_id = shape.bos;
  config.eos_ids = {shape.eos};
  if (shape.sliding_window != 0) config.sliding_window = shape.sliding_window;
  return config;
}

// Llama 3.1's rule: wavelengths longer than original/low are stretched by `factor`, those shorter
// than original/high stay, those between are mixed linearly in original/wavelength.
double Llama3Frequency(double frequency, const RopeConfig& rope) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double original = rope.original_max_positions;
  if (wavelength < original / rope.high_freq_factor) return frequency;
  if (wavelength > original / rope.low_freq_factor) return frequency / rope.factor;
  const double smooth = (original / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

int64_t ModelConfig::ParameterCount() const {
  const int64_t hidden = hidden_size;
  const int64_t attention = hidden * (2 * int64_t{query_size()} + 2 * int64_t{kv_size()});
  const int64_t feed_forward = 3 * hidden * intermediate_size;
  const int64_t embeddings = hidden * vocab_size * (tie_word_embeddings ? 1 : 2);
  return layers * (attention + feed_forward + 2 * hidden) + embeddings + hidden;
}

absl::StatusOr<ModelConfig> ShapeByName(std::string_view name) {
  std::string names;
  for (const Shape& shape : kShapes) {
    if (shape.name == name) return FromShape(shape);
    absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(shape.name));
  }
  return absl::NotFoundError(
      absl::StrCat("no model shape named \"", std::string(name), "\"; there are: ", names));
}

std::vector<std::string_view> ShapeNames() {
  std::vector<std::string_view> names;
  for (const Shape& shape : kShapes) names.push_back(shape.name);
  return names;
}

std::vector<double> InverseFrequencies(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  std::vector<double> frequencies;
  for (int i = 0; i < config.head_dim / 2; ++i) {
    double frequency = Pow(rope.theta, -2.0 * i / config.head_dim);
    if (rope.kind == RopeKind::kLinear) frequency /= rope.factor;
    if (rope.kind == RopeKind::kLlama3) frequency = Llama3Frequency(frequency, rope);
    frequencies.push_back(frequency);
  }
  return frequencies;
}

}  // namespace lockstep
