// Options of a run: what contradicts itself or would do nothing is refused with the option's name.
#include "runtime/run/run_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

RunOptions Good() {
  RunOptions o;
  o.model = "m";
  o.topology = "groqnode";
  o.prompt = "Once";
  o.tokens = 3;
  return o;
}

// The error after `change`, "" if there is none.
std::string ErrorAfter(const std::function<void(RunOptions&)>& change) {
  RunOptions o = Good();
  change(o);
  return std::string(ValidateOptions(o).message());
}

TEST(RunOptionsTest, TheLeastThatIsNeededIsEnough) {
  EXPECT_EQ(ErrorAfter([](auto&) {}), "");
}

TEST(RunOptionsTest, OneKindOfPromptIsNeeded) {
  EXPECT_THAT(ErrorAfter([](auto& o) { o.prompt_ids = {1}; }), HasSubstr("exclude each other"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.prompt.reset(); }), HasSubstr("--prompt-ids is needed"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.prompt.reset(), o.prompt_ids.emplace(); }),
              HasSubstr("at least one id"));
}

TEST(RunOptionsTest, CountsStartAtOne) {
  EXPECT_THAT(ErrorAfter([](auto& o) { o.tokens = 0; }), HasSubstr("--tokens 0"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.chips = -2; }), HasSubstr("--chips -2"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.context = 0; }), HasSubstr("--context 0"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.prefill_batch = 3; }), HasSubstr("--prefill-batch 3"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.prefill_batch = 32; }), HasSubstr("--prefill-batch 32"));
  EXPECT_EQ(ErrorAfter([](auto& o) { o.prefill_batch = 16; }), "");
  EXPECT_THAT(ErrorAfter([](auto& o) { o.prompt_flight = 0; }), HasSubstr("--prompt-flight 0"));
  EXPECT_EQ(ErrorAfter([](auto& o) { o.prompt_flight = 9, o.logits = "x"; }), "");
  EXPECT_EQ(ErrorAfter([](auto& o) {
              o.transport = TransportKind::kLocal, o.prompt_flight = 9, o.sram_limit = 1000;
            }),
            "");
  EXPECT_THAT(ErrorAfter([](auto& o) { o.chips_per_rank = 0; }), HasSubstr("--chips-per-rank 0"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.sequences = 0; }), HasSubstr("--sequences 0"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.nodes = 0; }), HasSubstr("--nodes 0"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.sram_limit = 1000; }), HasSubstr("--sram-limit has no"));
}

TEST(RunOptionsTest, OptionsOfTheOtherTransportHaveNoEffect) {
  EXPECT_THAT(ErrorAfter([](auto& o) { o.threads = 2; }), HasSubstr("--threads has no effect"));
  const auto local = [](auto& o) { o.transport = TransportKind::kLocal, o.chips_per_rank = 2; };
  EXPECT_THAT(ErrorAfter(local), HasSubstr("--chips-per-rank has no effect"));
}

TEST(RunOptionsTest, TheTimingEngineRefusesWhatNeedsValues) {
  const auto timing = [](auto set) {
    return ErrorAfter([set](auto& o) { o.engine = EngineKind::kTiming, set(o); });
  };
  EXPECT_EQ(timing([](auto&) {}), "");
  EXPECT_THAT(timing([](auto& o) { o.logits = "f"; }), HasSubstr("--logits has no effect"));
  EXPECT_THAT(timing([](auto& o) { o.temperature = 1; }), HasSubstr("--temperature has no"));
  EXPECT_THAT(timing([](auto& o) { o.top_k = 4; }), HasSubstr("--top-k has no effect"));
  EXPECT_THAT(timing([](auto& o) { o.ignore_eos = true; }), HasSubstr("--ignore-eos has no"));
}

TEST(RunOptionsTest, GreedyGenerationRefusesWhatNeedsChance) {
  EXPECT_THAT(ErrorAfter([](auto& o) { o.seed = 1; }), HasSubstr("--seed has no effect"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.temperature = 0, o.top_k = 2; }),
              HasSubstr("--top-k has no effect"));
  EXPECT_EQ(ErrorAfter([](auto& o) { o.temperature = 0; }), "");
  EXPECT_EQ(ErrorAfter([](auto& o) { o.top_k = 2, o.seed = 7; }), "");
}

TEST(RunOptionsTest, TheSamplersOwnRulesHold) {
  EXPECT_NE(ErrorAfter([](auto& o) { o.temperature = -1; }), "");
  EXPECT_NE(ErrorAfter([](auto& o) { o.top_p = 1.5; }), "");
}

TEST(RunOptionsTest, TwoOutputsNeedTwoFiles) {
  EXPECT_THAT(ErrorAfter([](auto& o) { o.report = o.timeline = "x"; }), HasSubstr("one file: x"));
  EXPECT_THAT(ErrorAfter([](auto& o) { o.table = o.links = "x"; }), HasSubstr("one file: x"));
}

TEST(RunOptionsTest, RankArgumentsHoldWhatWasGivenAndNothingElse) {
  RunOptions o = Good();
  o.prompt = "odd 'prompt'";
  o.engine = EngineKind::kFunctional;
  o.temperature = 0.1;
  o.latencies = {"barrier=40"};
  o.quiet = true;
  EXPECT_THAT(RankArguments(o), ElementsAre("--model=m", "--topology=groqnode", "--prompt",
                                            "odd 'prompt'", "--tokens=3", "--set=barrier=40",
                                            "--temperature=0.10000000000000001", "--quiet"));
}

TEST(RunOptionsTest, WhereAModelLiesIsPassedOnAndChecked) {
  RunOptions o = Good();
  o.prompt_flight = 3;
  o.weights = NumberFormat::kInt8, o.kv_cache = "fp16", o.nodes = 3, o.failed = {"0.1", "1.2"};
  EXPECT_TRUE(ValidateOptions(o).ok()) << ValidateOptions(o);
  EXPECT_THAT(RankArguments(o),
              ::testing::IsSupersetOf({"--prompt-flight=3", "--weights=int8", "--kv=fp16",
                                       "--nodes=3", "--failed=0.1", "--failed=1.2"}));
  o.kv_cache = "fp8";
  EXPECT_EQ(ValidateOptions(o).message(), "--kv fp8: fp16 or int8");
}

TEST(RunOptionsTest, IdsAreNumbersWithCommas) {
  EXPECT_THAT(ParseIds("1,403,407").value(), ElementsAre(1, 403, 407));
  EXPECT_EQ(JoinIds({1, 403, 407}), "1,403,407");
  for (const char* bad : {"", "1,", "1,x", "-1", "1;2", "99999999999"}) {
    EXPECT_THAT(ParseIds(bad).status().message(), HasSubstr("is no token id")) << bad;
  }
}

}  // namespace
}  // namespace lockstep
