#pragma once
// The shape of a model: what config.json of a Hugging Face folder says, checked, with defaults
// filled in as the model's own code would. Only the Llama family is supported: pre-norm decoder
// with RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases.
//
// What would change the numbers and is not supported is an error, never ignored.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace lockstep {

// How rotary frequencies depend on the position's scale.
enum class RopeKind : uint8_t {
  kDefault,  // theta^(-2i/head_dim)
  kLinear,   // every frequency divided by `factor`
  kLlama3,   // low frequencies divided by `factor`, high ones kept, smooth between
};

struct RopeConfig {
  double theta = 10000.0;
  RopeKind kind = RopeKind::kDefault;
  double factor = 1.0;             // kLinear, kLlama3
  double low_freq_factor = 1.0;    // kLlama3
  double high_freq_factor = 4.0;   // kLlama3
  int original_max_positions = 0;  // kLlama3
  bool operator==(const RopeConfig&) const = default;
};

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM" or "MistralForCausalLM"
  int hidden_size = 0;
  int intermediate_size = 0;
  int layers = 0;
  int heads = 0;     // query heads
  int kv_heads = 0;  // divides heads
  int head_dim = 0;  // even; heads * head_dim need not equal hidden_size
  int vocab_size = 0;
  int max_positions = 0;
  double rms_norm_eps = 1e-6;
  RopeConfig rope;
  bool tie_word_embeddings = false;
  std::optional<int> bos_id;
  std::vector<int> eos_ids;          // any of them ends the text; may be empty
  std::optional<std::string> dtype;  // as written; the checkpoint's own dtypes decide
  // Attention sees only this many last positions: a run must keep its context within it, since
  // attention here is always full.
  std::optional<int> sliding_window;

  int query_size() const { return heads * head_dim; }
  int kv_size() const { return kv_heads * head_dim; }
  // The longest context for which full attention is this model's attention.
  int max_context() const {
    return sliding_window && *sliding_window < max_positions ? *sliding_window : max_positions;
  }
  // Elements of all weight matrices and norms (a tied head counted once).
  int64_t ParameterCount() const;
  bool operator==(const ModelConfig&) const = default;
};

inline constexpr char kSupportedArchitectures[] = "LlamaForCausalLM, MistralForCausalLM";

// From the text of a config.json; `origin` (a file name) begins every error, which names the
// field and its value.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text, std::string_view origin);

// From `folder`/config.json.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& folder);

// The range checks alone, for a config that was put together by hand.
absl::Status ValidateModelConfig(const ModelConfig& config, std::string_view origin);

// A published shape without its weights: "llama-2-7b", "llama-2-13b", "llama-2-70b", "llama-3-8b",
// "llama-3-70b", "mistral-7b". NotFound lists the names.
absl::StatusOr<ModelConfig> ShapeByName(std::string_view name);
std::vector<std::string_view> ShapeNames();

// Rotary frequency of each pair i in 0 .. head_dim/2 - 1, radians per position, in double
// precision and the same bits on every host. Pair i is elements (i, i + head_dim/2) of a head.
std::vector<double> InverseFrequencies(const ModelConfig& config);

}  // namespace lockstep
