// Reading config.json field by field. A Reader remembers the file's name so that each error says
// where, which field, and what value.

#include "runtime/model/model_config.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/files/mapped_file.h"
#include "runtime/files/strict_json.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = 1 << 20;
constexpr int kMaxEosIds = 64;

constexpr int kMaxHidden = 65536;
constexpr int kMaxIntermediate = 1 << 20;
constexpr int kMaxLayers = 1024;
constexpr int kMaxHeads = 4096;
constexpr int kMaxHeadDim = 4096;
constexpr int kMaxVocab = 1 << 20;
constexpr int kMaxPositions = 1 << 24;

// One JSON object and the name that errors give it.
class Reader {
 public:
  Reader(const json& object, std::string origin) : object_(object), origin_(std::move(origin)) {}

  const std::string& origin() const { return origin_; }

  // Null counts as absent, as it does for the model's own code.
  bool Has(const char* field) const { return object_.contains(field) && !object_[field].is_null(); }
  const json& At(const char* field) const { return object_[field]; }

  template <typename... Parts>
  absl::Status Error(const char* field, const Parts&... parts) const {
    return absl::InvalidArgumentError(absl::StrCat(origin_, ": ", field, " ", parts...));
  }

  absl::StatusOr<int> Int(const char* field, std::optional<int> fallback) const {
    if (!Has(field)) {
      if (fallback) return *fallback;
      return Error(field, "is missing");
    }
    const json& value = At(field);
    const bool fits = value.is_number_unsigned()
                          ? value.get<uint64_t>() <= INT32_MAX
                          : value.is_number_integer() && value.get<int64_t>() >= INT32_MIN;
    if (!fits) return Error(field, "is ", QuotedJson(value), ", not an integer in range");
    return static_cast<int>(value.get<int64_t>());
  }

  absl::StatusOr<double> Real(const char* field, std::optional<double> fallback) const {
    if (!Has(field)) {
      if (fallback) return *fallback;
      return Error(field, "is missing");
    }
    if (!At(field).is_number()) return Error(field, "is ", QuotedJson(At(field)), ", not a number");
    return At(field).get<double>();
  }

  absl::StatusOr<bool> Bool(const char* field, bool fallback) const {
    if (!Has(field)) return fallback;
    if (!At(field).is_boolean()) {
      return Error(field, "is ", QuotedJson(At(field)), ", not true or false");
    }
    return At(field).get<bool>();
  }

  absl::StatusOr<std::string> String(const char* field, const char* fallback) const {
    if (!Has(field)) return std::string(fallback);
    if (!At(field).is_string()) return Error(field, "is ", QuotedJson(At(field)), ", not a string");
    return At(field).get<std::string>();
  }

 private:
  const json& object_;
  std::string origin_;
};

absl::StatusOr<std::string> ReadArchitecture(const Reader& reader) {
  const auto unsupported = [&](const std::string& what) {
    return absl::UnimplementedError(absl::StrCat(reader.origin(), ": architecture not supported: ",
                                                 what, "; supported: ", kSupportedArchitectures));
  };
  if (!reader.Has("architectures")) {
    // Old files name only the type of the model.
    ASSIGN_OR_RETURN(const std::string type, reader.String("model_type", ""));
    if (type == "llama") return std::string("LlamaForCausalLM");
    if (type == "mistral") return std::string("MistralForCausalLM");
    return unsupported(type.empty() ? "none given" : Quoted(type));
  }
  const json& list = reader.At("architectures");
  if (!list.is_array() || list.size() != 1 || !list[0].is_string()) {
    return reader.Error("architectures", "is ", QuotedJson(list), ", not a list of one name");
  }
  const std::string name = list[0].get<std::string>();
  if (name == "LlamaForCausalLM" || name == "MistralForCausalLM") return name;
  return unsupported(Quoted(name));
}

// Features that would change the numbers and that the compiled kernels do not have.
absl::Status RefuseUnsupported(const Reader& reader) {
  ASSIGN_OR_RETURN(const std::string activation, reader.String("hidden_act", "silu"));
  if (activation != "silu") {
    return reader.Error("hidden_act", "is ", Quoted(activation), "; supported: silu");
  }
  for (const char* field : {"attention_bias", "mlp_bias"}) {
    ASSIGN_OR_RETURN(const bool biased, reader.Bool(field, false));
    if (biased) return reader.Error(field, "is true; biases are not supported");
  }
  for (const char* field : {"quantization_config", "num_local_experts"}) {
    if (reader.Has(field)) {
      return reader.Error(field, "is ", QuotedJson(reader.At(field)),
                          "; not supported: ", kSupportedArchitectures, " with plain weights are");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RopeConfig> ReadLlama3Rope(const Reader& scaling, RopeConfig rope) {
  ASSIGN_OR_RETURN(rope.factor, scaling.Real("factor", std::nullopt));
  ASSIGN_OR_RETURN(rope.low_freq_factor, scaling.Real("low_freq_factor", std::nullopt));
  ASSIGN_OR_RETURN(rope.high_freq_factor, scaling.Real("high_freq_factor", std::nullopt));
  ASSIGN_OR_RETURN(rope.original_max_positions,
                   scaling.Int("original_max_position_embeddings", std::nullopt));
  rope.kind = RopeKind::kLlama3;
  return rope;
}

// `rope_scaling`, or `rope_parameters` as newer files call it (theta inside).
absl::StatusOr<RopeConfig> ReadRope(const Reader& reader) {
  RopeConfig rope;
  ASSIGN_OR_RETURN(rope.theta, reader.Real("rope_theta", 10000.0));
  const char* field = reader.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!reader.Has(field)) return rope;
  if (!reader.At(field).is_object()) {
    return reader.Error(field, "is ", QuotedJson(reader.At(field)), ", not an object");
  }
  const Reader scaling(reader.At(field), absl::StrCat(reader.origin(), ": ", field));
  ASSIGN_OR_RETURN(rope.theta, scaling.Real("rope_theta", rope.theta));
  ASSIGN_OR_RETURN(const std::string old_name, scaling.String("type", "default"));
  ASSIGN_OR_RETURN(const std::string type, scaling.String("rope_type", old_name.c_str()));
  if (type == "default") return rope;
  if (type == "llama3") return ReadLlama3Rope(scaling, rope);
  if (type != "linear") {
    return scaling.Error("type", "is ", Quoted(type), "; supported: default, linear, llama3");
  }
  ASSIGN_OR_RETURN(rope.factor, scaling.Real("factor", std::nullopt));
  rope.kind = RopeKind::kLinear;
  return rope;
}

absl::StatusOr<std::vector<int>> ReadEosIds(const Reader& reader) {
  std::vector<int> ids;
  if (!reader.Has("eos_token_id")) return ids;
  const json& value = reader.At("eos_token_id");
  if (!value.is_array()) {
    ASSIGN_OR_RETURN(const int id, reader.Int("eos_token_id", std::nullopt));
    ids.push_back(id);
    return ids;
  }
  if (value.size() > kMaxEosIds) {
    return reader.Error("eos_token_id", "has ", value.size(), " ids, at most ", kMaxEosIds);
  }
  for (const json& id : value) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
      return reader.Error("eos_token_id", "holds ", QuotedJson(id), ", not a token id");
    }
    ids.push_back(id.get<int>());
  }
  return ids;
}

absl::Status ReadSizes(const Reader& reader, bool mistral, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.hidden_size, reader.Int("hidden_size", std::nullopt));
  ASSIGN_OR_RETURN(config.intermediate_size, reader.Int("intermediate_size", std::nullopt));
  ASSIGN_OR_RETURN(config.layers, reader.Int("num_hidden_layers", std::nullopt));
  ASSIGN_OR_RETURN(config.heads, reader.Int("num_attention_heads", std::nullopt));
  ASSIGN_OR_RETURN(config.vocab_size, reader.Int("vocab_size", std::nullopt));
  // Absent fields mean what transformers' LlamaConfig and MistralConfig mean by their absence.
  ASSIGN_OR_RETURN(config.kv_heads, reader.Int("num_key_value_heads", mistral ? 8 : config.heads));
  ASSIGN_OR_RETURN(config.max_positions,
                   reader.Int("max_position_embeddings", mistral ? 131072 : 2048));
  if (reader.Has("head_dim")) {
    ASSIGN_OR_RETURN(config.head_dim, reader.Int("head_dim", std::nullopt));
  } else if (config.heads > 0) {
    if (config.hidden_size % config.heads != 0) {
      return reader.Error("hidden_size", config.hidden_size, " is not a multiple of ",
                          "num_attention_heads ", config.heads, " and head_dim is not given");
    }
    config.head_dim = config.hidden_size / config.heads;
  }
  return absl::OkStatus();
}

absl::Status ReadRest(const Reader& reader, const json& object, bool mistral, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.rms_norm_eps, reader.Real("rms_norm_eps", 1e-6));
  ASSIGN_OR_RETURN(config.rope, ReadRope(reader));
  ASSIGN_OR_RETURN(config.tie_word_embeddings, reader.Bool("tie_word_embeddings", false));
  if (reader.Has("bos_token_id")) {
    ASSIGN_OR_RETURN(config.bos_id, reader.Int("bos_token_id", std::nullopt));
  }
  ASSIGN_OR_RETURN(config.eos_ids, ReadEosIds(reader));
  for (const char* field : {"torch_dtype", "dtype"}) {
    if (reader.Has(field)) {
      ASSIGN_OR_RETURN(config.dtype, reader.String(field, ""));
    }
  }
  if (mistral && reader.Has("sliding_window")) {
    ASSIGN_OR_RETURN(config.sliding_window, reader.Int("sliding_window", std::nullopt));
  } else if (mistral && !object.contains("sliding_window")) {
    config.sliding_window = 4096;  // what MistralConfig means by the field's absence
  }
  return absl::OkStatus();
}

struct Range {
  const char* field;
  int value, max;
};

absl::Status CheckRope(const RopeConfig& rope, const Reader& reader) {
  const auto positive = [](double x) { return std::isfinite(x) && x > 0 && x <= 1e12; };
  if (!positive(rope.theta) || rope.theta < 1) {
    return reader.Error("rope_theta", "is ", rope.theta, ", not between 1 and 1e12");
  }
  if (rope.kind == RopeKind::kDefault) return absl::OkStatus();
  if (!positive(rope.factor) || rope.factor < 1) {
    return reader.Error("rope_scaling", "factor is ", rope.factor, ", not between 1 and 1e12");
  }
  if (rope.kind == RopeKind::kLinear) return absl::OkStatus();
  if (!positive(rope.low_freq_factor) || !positive(rope.high_freq_factor) ||
      rope.low_freq_factor >= rope.high_freq_factor) {
    return reader.Error("rope_scaling", "low_freq_factor ", rope.low_freq_factor,
                        " must be positive and below high_freq_factor ", rope.high_freq_factor);
  }
  if (rope.original_max_positions < 1 || rope.original_max_positions > kMaxPositions) {
    return reader.Error("rope_scaling", "original_max_position_embeddings is ",
                        rope.original_max_positions, ", not between 1 and ", kMaxPositions);
  }
  return absl::OkStatus();
}

absl::Status CheckTokenIds(const ModelConfig& config, const Reader& reader) {
  if (config.bos_id && (*config.bos_id < 0 || *config.bos_id >= config.vocab_size)) {
    return reader.Error("bos_token_id", "is ", *config.bos_id, ", outside the vocabulary of ",
                        config.vocab_size);
  }
  for (const int id : config.eos_ids) {
    if (id < 0 || id >= config.vocab_size) {
      return reader.Error("eos_token_id", "is ", id, ", outside the vocabulary of ",
                          config.vocab_size);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateModelConfig(const ModelConfig& config, std::string_view origin) {
  const json nothing = json::object();
  const Reader reader(nothing, std::string(origin));
  const std::array<Range, 9> ranges = {{
      {"hidden_size", config.hidden_size, kMaxHidden},
      {"intermediate_size", config.intermediate_size, kMaxIntermediate},
      {"num_hidden_layers", config.layers, kMaxLayers},
      {"num_attention_heads", config.heads, kMaxHeads},
      {"num_key_value_heads", config.kv_heads, kMaxHeads},
      {"head_dim", config.head_dim, kMaxHeadDim},
      {"vocab_size", config.vocab_size, kMaxVocab},
      {"max_position_embeddings", config.max_positions, kMaxPositions},
      {"sliding_window", config.sliding_window.value_or(1), kMaxPositions},
  }};
  for (const Range& range : ranges) {
    if (range.value < 1 || range.value > range.max) {
      return reader.Error(range.field, "is ", range.value, ", not between 1 and ", range.max);
    }
  }
  if (config.heads % config.kv_heads != 0) {
    return reader.Error("num_attention_heads", config.heads,
                        " is not a multiple of num_key_value_heads ", config.kv_heads);
  }
  if (config.head_dim % 2 != 0) {
    return reader.Error("head_dim", "is ", config.head_dim, "; rotary positions need pairs");
  }
  if (!(config.rms_norm_eps > 0 && config.rms_norm_eps < 1)) {
    return reader.Error("rms_norm_eps", "is ", config.rms_norm_eps, ", not between 0 and 1");
  }
  RETURN_IF_ERROR(CheckRope(config.rope, reader));
  return CheckTokenIds(config, reader);
}

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text, std::string_view origin) {
  if (text.size() > kMaxConfigBytes) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(origin), ": ", text.size(),
                                                   " bytes exceed the limit of ", kMaxConfigBytes));
  }
  ASSIGN_OR_RETURN(const json object, ParseStrictJson(text, origin));
  if (!object.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(origin), ": is not a JSON object"));
  }
  const Reader reader(object, std::string(origin));
  ModelConfig config;
  ASSIGN_OR_RETURN(config.architecture, ReadArchitecture(reader));
  const bool mistral = config.architecture == "MistralForCausalLM";
  RETURN_IF_ERROR(RefuseUnsupported(reader));
  RETURN_IF_ERROR(ReadSizes(reader, mistral, config));
  RETURN_IF_ERROR(ReadRest(reader, object, mistral, config));
  RETURN_IF_ERROR(ValidateModelConfig(config, origin));
  return config;
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& folder) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(absl::StrCat(folder, "/config.json")));
  return ParseModelConfig(file.text(), file.path());
}

}  // namespace lockstep
