// Real configs give the known shapes; each field that is wrong is named with its value.

#include "runtime/model/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/model/model_source.h"
#include "tests/runtime/model_files.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A small legal config with `extra` fields (ending in a comma) before it.
std::string Small(const std::string& extra = "") {
  return "{" + extra +
         R"("architectures":["LlamaForCausalLM"],"hidden_size":64,"intermediate_size":172,)"
         R"("num_hidden_layers":5,"num_attention_heads":8,"vocab_size":512})";
}
// The same with one field replaced.
std::string With(const std::string& field, const std::string& value) {
  nlohmann::json config = nlohmann::json::parse(Small());
  config[field] = nlohmann::json::parse(value);
  return config.dump();
}
std::string ErrorOf(const std::string& text) {
  return std::string(ParseModelConfig(text, "c.json").status().message());
}

TEST(ModelConfigTest, AbsentFieldsTakeTheDefaultsOfTheModelsOwnCode) {
  const auto config = ParseModelConfig(Small(), "c");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->kv_heads, 8);
  EXPECT_EQ(config->head_dim, 8);
  EXPECT_EQ(config->max_positions, 2048);
  EXPECT_EQ(config->rms_norm_eps, 1e-6);
  EXPECT_EQ(config->rope, RopeConfig{});
  EXPECT_FALSE(config->tie_word_embeddings);
  EXPECT_EQ(config->bos_id, std::nullopt);
  EXPECT_TRUE(config->eos_ids.empty());
  EXPECT_EQ(config->sliding_window, std::nullopt);
}

TEST(ModelConfigTest, GivenFieldsAreTaken) {
  const auto config = ParseModelConfig(
      Small(R"("num_key_value_heads":2,"head_dim":16,"bos_token_id":1,"eos_token_id":[2,3],)"
            R"("tie_word_embeddings":true,"rope_theta":500000,"torch_dtype":"bfloat16",)"),
      "c");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->kv_size(), 32);
  EXPECT_EQ(config->query_size(), 128);
  EXPECT_EQ(config->bos_id, 1);
  EXPECT_THAT(config->eos_ids, ElementsAre(2, 3));
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_EQ(config->rope.theta, 500000.0);
  EXPECT_EQ(config->dtype, "bfloat16");
}

struct Wrong {
  const char* field;
  const char* value;
  const char* error;
};

TEST(ModelConfigTest, EveryWrongFieldIsNamedWithItsValue) {
  const Wrong wrongs[] = {
      {"hidden_size", "0", "hidden_size is 0"},
      {"hidden_size", "-64", "hidden_size is -64"},
      {"hidden_size", "65544", "hidden_size is 65544, not between 1 and 65536"},
      {"hidden_size", "64.5", "hidden_size is 64.5, not an integer"},
      {"hidden_size", "\"64\"", "hidden_size is \"64\""},
      {"hidden_size", "18446744073709551615", "hidden_size is 18446744073709551615"},
      {"hidden_size", "null", "hidden_size is missing"},
      {"hidden_size", "65", "not a multiple of num_attention_heads 8"},
      {"intermediate_size", "0", "intermediate_size is 0"},
      {"num_hidden_layers", "1025", "num_hidden_layers is 1025"},
      {"num_attention_heads", "0", "num_attention_heads is 0"},
      {"num_key_value_heads", "3", "num_attention_heads 8 is not a multiple"},
      {"head_dim", "7", "head_dim is 7"},
      {"vocab_size", "1048577", "vocab_size is 1048577"},
      {"max_position_embeddings", "0", "max_position_embeddings is 0"},
      {"rms_norm_eps", "0", "rms_norm_eps is 0"},
      {"rms_norm_eps", "\"x\"", "rms_norm_eps is \"x\""},
      {"rope_theta", "-1", "rope_theta is -1"},
      {"rope_theta", "1e300", "rope_theta is 1e+300"},
      {"hidden_act", "\"gelu\"", "hidden_act is \"gelu\""},
      {"attention_bias", "true", "attention_bias is true"},
      {"mlp_bias", "true", "mlp_bias is true"},
      {"mlp_bias", "1", "mlp_bias is 1"},
      {"quantization_config", "{\"bits\":4}", "quantization_config is an object"},
      {"num_local_experts", "8", "num_local_experts is 8"},
      {"bos_token_id", "512", "bos_token_id is 512, outside the vocabulary of 512"},
      {"eos_token_id", "[1,512]", "eos_token_id is 512"},
      {"eos_token_id", "[-1]", "eos_token_id holds -1"},
      {"rope_scaling", "3", "rope_scaling is 3"},
      {"rope_scaling", R"({"type":"yarn","factor":2})", "type is \"yarn\"; supported: default"},
      {"rope_scaling", R"({"type":"linear"})", "factor is missing"},
      {"rope_scaling", R"({"type":"linear","factor":0.5})", "factor is 0.5"},
      {"architectures", R"(["A","B"])", "architectures is an array of 2"},
      {"architectures", R"(["GPT2LMHeadModel"])",
       "architecture not supported: \"GPT2LMHeadModel\"; supported: LlamaForCausalLM"},
  };
  for (const Wrong& wrong : wrongs) {
    EXPECT_THAT(ErrorOf(With(wrong.field, wrong.value)), HasSubstr(wrong.error)) << wrong.value;
  }
}

TEST(ModelConfigTest, TextThatIsNoConfigIsRefused) {
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("architecture not supported: none given"));
  EXPECT_THAT(ErrorOf(Small("\"vocab_size\":1,")), HasSubstr("\"vocab_size\" occurs twice"));
  EXPECT_THAT(ErrorOf(std::string(2 << 20, ' ')), HasSubstr("exceed the limit"));
}

TEST(ModelConfigTest, EveryTruncationOfAConfigIsRefused) {
  const std::string text = Small();
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(ParseModelConfig(text.substr(0, size), "c").ok()) << size;
  }
}

TEST(ModelConfigTest, TheSlidingWindowBoundsTheContextOfMistralOnly) {
  nlohmann::json mistral = nlohmann::json::parse(Small());
  mistral["architectures"] = {"MistralForCausalLM"};
  mistral["max_position_embeddings"] = 1000;
  const auto window = [&] { return ParseModelConfig(mistral.dump(), "c")->sliding_window; };
  EXPECT_EQ(window(), 4096);  // absent means the model's default
  mistral["sliding_window"] = nullptr;
  EXPECT_EQ(window(), std::nullopt);
  mistral["sliding_window"] = 100;
  EXPECT_EQ(window(), 100);
  EXPECT_EQ(ParseModelConfig(mistral.dump(), "c")->max_context(), 100);
  EXPECT_EQ(ParseModelConfig(With("sliding_window", "100"), "c")->sliding_window, std::nullopt);
}

// The frequencies of head dimension 8 under a rope_scaling.
std::vector<double> Frequencies(const std::string& scaling) {
  auto config = ParseModelConfig(With("rope_scaling", scaling), "c");
  EXPECT_TRUE(config.ok()) << config.status();
  return InverseFrequencies(*config);
}

TEST(ModelConfigTest, RotaryFrequenciesFallGeometrically) {
  const std::vector<double> plain = Frequencies("null");
  ASSERT_EQ(plain.size(), 4u);  // pairs of 8 elements
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(plain[i], std::pow(10.0, -i), 1e-15);
  const std::vector<double> linear = Frequencies(R"({"type":"linear","factor":4})");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(linear[i], plain[i] / 4);
}

TEST(ModelConfigTest, Llama3ScalingKeepsHighFrequenciesAndDividesLowOnes) {
  const std::vector<double> plain = Frequencies("null");
  const std::vector<double> scaled =
      Frequencies(R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,)"
                  R"("original_max_position_embeddings":1000})");
  // Wavelengths 6.28, 62.8, 628, 6283 against 1000/4 = 250 and 1000/1 = 1000.
  EXPECT_EQ(scaled[0], plain[0]);
  EXPECT_EQ(scaled[1], plain[1]);
  const double smooth = (1000 / (2 * M_PI / plain[2]) - 1) / 3;
  EXPECT_NEAR(scaled[2], plain[2] * ((1 - smooth) / 8 + smooth), 1e-15);
  EXPECT_EQ(scaled[3], plain[3] / 8);
}

TEST(ModelConfigTest, PublishedShapesHaveTheirPublishedSizes) {
  EXPECT_EQ(ShapeByName("llama-2-7b")->ParameterCount(), 6'738'415'616);
  EXPECT_EQ(ShapeByName("llama-2-13b")->ParameterCount(), 13'015'864'320);
  EXPECT_EQ(ShapeByName("llama-2-70b")->ParameterCount(), 68'976'648'192);
  EXPECT_EQ(ShapeByName("llama-3-8b")->ParameterCount(), 8'030'261'248);
  EXPECT_EQ(ShapeByName("llama-3-70b")->ParameterCount(), 70'553'706'496);
  EXPECT_EQ(ShapeByName("mistral-7b")->ParameterCount(), 7'241'732'096);
  EXPECT_EQ(ShapeByName("mistral-7b")->max_context(), 4096);
}

TEST(ModelConfigTest, EveryNamedShapeIsValidAndOthersListTheNames) {
  for (const std::string_view name : ShapeNames()) {
    EXPECT_TRUE(ValidateModelConfig(*ShapeByName(name), "shape").ok()) << name;
  }
  EXPECT_THAT(std::string(ShapeByName("gpt").status().message()), HasSubstr("llama-2-70b"));
}

TEST(ModelConfigSampleTest, RealConfigsAreTheNamedShapes) {
  const std::pair<const char*, const char*> pairs[] = {{"Llama-2-7b-hf", "llama-2-7b"},
                                                       {"Llama-2-13b-hf", "llama-2-13b"},
                                                       {"Llama-2-70b-hf", "llama-2-70b"},
                                                       {"Meta-Llama-3-70B", "llama-3-70b"},
                                                       {"Mistral-7B-v0.1", "mistral-7b"}};
  for (const auto& [file, name] : pairs) {
    const std::string path = SharedPath(std::string("configs/") + file + ".config.json");
    if (path.empty()) GTEST_SKIP() << "shared config " << file << " is not on this machine";
    auto config = ParseModelConfig(ReadText(path), path);
    ASSERT_TRUE(config.ok()) << config.status();
    config->dtype.reset();  // a property of the weights, not of the shape
    EXPECT_EQ(*config, *ShapeByName(name)) << name;
  }
}

TEST(ModelConfigSampleTest, RealConfigsOfOtherFamiliesAreRefusedByName) {
  for (const char* name : {"Mixtral-8x7B-v0.1", "falcon-40b"}) {
    const std::string path = SharedPath(std::string("configs/") + name + ".config.json");
    if (path.empty()) GTEST_SKIP() << "shared config " << name << " is not on this machine";
    const auto config = ParseModelConfig(ReadText(path), path);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("architecture not supported"));
  }
}

TEST(ModelSourceTest, AReportsTitleDoesNotSayWhereTheFolderIs) {
  for (const char* name : {"/srv/models/story", "models/story/", "./story", "a/story/config.json"}) {
    EXPECT_EQ(ModelTitle(name), "story") << name;
  }
  EXPECT_EQ(ModelTitle("llama-2-70b"), "llama-2-70b");
  EXPECT_EQ(ModelTitle("shapes/wide.json"), "wide.json");
  EXPECT_EQ(ModelTitle("config.json"), "config.json");
  EXPECT_EQ(ModelTitle("/"), "/");
}

TEST(ModelConfigSampleTest, RealCheckpointFoldersLoad) {
  for (const char* name : {"models/stories260K", "models/tiny_llama"}) {
    const std::string folder = SharedPath(name);
    if (folder.empty()) GTEST_SKIP() << "shared sample " << name << " is not on this machine";
    EXPECT_TRUE(LoadModelConfig(folder).ok()) << LoadModelConfig(folder).status();
  }
}

}  // namespace
}  // namespace lockstep
