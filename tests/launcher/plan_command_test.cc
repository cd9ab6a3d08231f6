// `lockstep plan` as a user runs it: table, JSON, errors with their numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/launcher/shell.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kStory = "--model " LOCKSTEP_SOURCE_DIR "/models/story ";

class PlanCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(::testing::TempDir()) / (std::string("plan_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Outcome Plan(const std::string& arguments) { return Lockstep("plan " + arguments); }
  nlohmann::json PlanOf(const std::string& arguments) {
    const std::string file = folder_ / "plan.json";
    const Outcome plan = Plan(arguments + " --json " + file);
    EXPECT_EQ(plan.exit_code, 0) << plan.output;
    std::ifstream in(file);
    return nlohmann::json::parse(std::string{std::istreambuf_iterator<char>(in), {}}, nullptr,
                                 false);
  }
  void ExpectRefused(const std::string& arguments, const std::string& why, int exit_code = 1) {
    const Outcome plan = Plan(arguments);
    EXPECT_EQ(plan.exit_code, exit_code) << arguments << "\n" << plan.output;
    EXPECT_THAT(plan.output, HasSubstr(why)) << arguments;
  }
  std::string WriteConfig(const std::string& text) {
    const std::string file = folder_ / "config.json";
    std::ofstream(file) << text;
    return file;
  }

  fs::path folder_;
};

TEST_F(PlanCommandTest, PrintsStagesSramBoundAndWhatWasNotTaken) {
  const Outcome plan = Plan(kStory + "--topology groqrack --nodes 3");
  EXPECT_EQ(plan.exit_code, 0);
  for (const char* part : {"3 stages of 8 chips, 24 of 72 chips; 1 spare node free",
                           "nodes in order        0.0 0.1 0.2\n", "230,686,720 B",
                           "weight streaming", "tokens/s/user", "balance", "not taken"}) {
    EXPECT_THAT(plan.output, HasSubstr(part));
  }
}

TEST_F(PlanCommandTest, JsonHasEveryStageAndItsBytesAddUp) {
  const nlohmann::json plan = PlanOf(kStory + "--topology groqrack --nodes 3");
  ASSERT_EQ(plan["stages"].size(), 3u);
  int layer = 0, row = 0;
  for (const auto& stage : plan["stages"]) {
    EXPECT_EQ(stage["layers"][0], layer);
    layer = stage["layers"][1];
    row += stage["head_rows"][1].get<int>() - stage["head_rows"][0].get<int>();
    int64_t sum = 0;
    const auto& use = stage["sram_bytes_per_chip"];
    for (const char* part :
         {"layers", "embedding", "head", "kv_cache", "tables", "activations", "free"}) {
      sum += use[part].get<int64_t>();
    }
    EXPECT_EQ(sum, 230'686'720);
  }
  EXPECT_EQ(layer, 3);
  EXPECT_EQ(row, 512);
}

TEST_F(PlanCommandTest, ABatchThatIsAskedForIsInTheSramOfEveryStage) {
  const std::string story = kStory + "--topology groqrack --nodes 3";
  EXPECT_THAT(Plan(story).output, HasSubstr("prompts               batches of 16 positions\n"));
  const nlohmann::json without = PlanOf(story), with = PlanOf(story + " --prefill-batch 4");
  EXPECT_EQ(with["prompt"]["batch"], 4);
  EXPECT_EQ(with["prompt"]["larger"][0]["batch"], 8);
  EXPECT_EQ(with["prompt"]["larger"][0]["head_stages"], without["prompt"]["head_stages"]);
  for (int s = 0; s < 3; ++s) {
    EXPECT_GT(with["stages"][s]["sram_bytes_per_chip"]["activations"],
              without["stages"][s]["sram_bytes_per_chip"]["activations"]);
  }
  ExpectRefused(story + " --prefill-batch 3", "--prefill-batch 3: 1, 2, 4, 8 or 16", 2);
  EXPECT_EQ(PlanOf(story + " --prefill-batch 4 --sequences 2")["prompt"]["batch"], 4);
  EXPECT_THAT(Plan(story + " --sequences 2").output, HasSubstr("batches of 16 positions\n"));
}

TEST_F(PlanCommandTest, AFailedNodeMovesItsStageToTheSpareAndChangesItsTransfers) {
  const Outcome plan = Plan(kStory + "--topology groqrack --nodes 3 --failed 0.1");
  EXPECT_EQ(plan.exit_code, 0) << plan.output;
  for (const char* part :
       {"failed                node 0.1, which held stage 1",
        "moved                 stage 1 from node 0.1 to node 0.8",
        "stage 0 to 1: 0.0 to 0.8 instead of 0.0 to 0.1, 4 cables",
        "stage 1 to 2: 0.8 to 0.2 instead of 0.1 to 0.2, 4 cables", "0 spare nodes free"}) {
    EXPECT_THAT(plan.output, HasSubstr(part));
  }
  EXPECT_THAT(plan.output, Not(HasSubstr("stage 2 to")));
  const Outcome free = Plan(kStory + "--topology groqrack --nodes 3 --failed node:0.7");
  EXPECT_THAT(free.output, HasSubstr("node 0.7, which holds no stage: nothing changes"));
}

TEST_F(PlanCommandTest, BadInputIsRefusedWithTheNumbers) {
  ExpectRefused(
      kStory + "--topology groqrack --nodes 3 --failed 0.1 --failed 0.2",
      "failed nodes that hold stages: 0.1, 0.2; spare nodes for them: 1, of which 1 works");
  ExpectRefused("--model llama-2-70b --topology groqrack", " B too few. A layer takes ");
  ExpectRefused("--model llama-2-13b --topology groqrack --context 128", " more than there are");
  ExpectRefused("--model llama-2-7b --topology groqrack --context 4097",
                "a context of 4097 positions: the model has 1..4096");
  ExpectRefused(kStory + "--topology ring4 --tensor-parallel 4",
                "no link from chip0 to chip2; tensor parallel needs fully connected chips");
  ExpectRefused(kStory + "--topology groqrack --tensor-parallel 9", "one of groqrack has 8");
  ExpectRefused(kStory + "--topology groqrack --nodes 9", "has 8 nodes without the spare ones");
  ExpectRefused(kStory + "--topology groqrack --nodes 4", "3 layers");
  ExpectRefused(kStory + "--topology groqrack --failed 1.0", "no node \"1.0\"");
  ExpectRefused(kStory + "--topology groqrack --failed 0.1 --failed 0.1", "given twice");
  ExpectRefused("--model gpt-2 --topology groqrack", "there are: llama-2-7b, llama-2-13b");
  ExpectRefused(kStory + "--topology nowhere", "nowhere");
  ExpectRefused(kStory + "--topology groqrack --nodes 0", "--nodes 0: it must be at least 1", 2);
  ExpectRefused(kStory + "--topology groqrack --weights fp8", "--weights", 2);
}

TEST_F(PlanCommandTest, ARunOnTheSpareNodeSaysTheSame) {
  const std::string run = "run --transport local " + kStory +
                          "--topology groqrack --nodes 3 --prompt 'Nora was' --tokens 2 --quiet";
  const Outcome healthy = Lockstep(run), failed = Lockstep(run + " --failed 0.1");
  EXPECT_EQ(failed.exit_code, 0) << failed.output;
  EXPECT_EQ(failed.output, healthy.output);
  EXPECT_THAT(Lockstep(run + " --failed 0.1 --failed 0.2").output, HasSubstr("of which 1 works"));
}

TEST_F(PlanCommandTest, AConfigFileIsAModelAndOtherArchitecturesAreRefused) {
  const std::string shape =
      R"("hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 100,
         "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu")";
  const std::string llama = WriteConfig(
      R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", )" + shape + "}");
  const nlohmann::json plan = PlanOf("--model " + llama + " --topology groqnode");
  EXPECT_EQ(plan["context"], 64);
  EXPECT_EQ(plan["stages"].size(), 1u);
  for (const char* other : {"MixtralForCausalLM", "FalconForCausalLM"}) {
    const std::string file = WriteConfig(std::string(R"({"architectures": [")") + other +
                                         R"("], "model_type": "other", )" + shape + "}");
    ExpectRefused("--model " + file + " --topology groqnode", "architecture not supported");
  }
}

TEST_F(PlanCommandTest, TheSameBytesComeOutTwice) {
  const std::string arguments = "--model llama-2-13b --topology groqrack-x10 --context 128";
  EXPECT_EQ(Plan(arguments).output, Plan(arguments).output);
}

}  // namespace
}  // namespace lockstep
