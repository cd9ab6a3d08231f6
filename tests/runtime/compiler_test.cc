// Compiled chips: the same schedule on every chip of a group, within SRAM or refused with numbers.
#include "runtime/compiler/compiler.h"

#include "gtest/gtest.h"
#include "runtime/compiler/image.h"
#include "tests/runtime/full_group.h"
#include "tests/runtime/odd_model.h"

namespace lockstep {
namespace {

ModelConfig Model() { return OddModel(330, 701, 2); }

CompiledChip Compiled(const ModelConfig& model, int chips, int self, int context) {
  const auto plan = MakePlan(model, chips, context);
  EXPECT_TRUE(plan.ok()) << plan.status();
  auto compiled = CompileChip(*plan, WholeModel(plan->model), kWholeStep, GroupOf(chips, self),
                              ChipTiming::Default());
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return *std::move(compiled);
}

TEST(CompilerTest, TheSameInputGivesTheSameProgram) {
  EXPECT_EQ(Compiled(Model(), 3, 1, 400).program, Compiled(Model(), 3, 1, 400).program);
}

TEST(CompilerTest, AllChipsOfAGroupRunTheSameKernelsInTheSameCycles) {
  for (int chips : {2, 5, 8}) {
    const CompiledChip first = Compiled(Model(), chips, 0, 200);
    for (int self = 1; self < chips; ++self) {
      const CompiledChip other = Compiled(Model(), chips, self, 200);
      ASSERT_EQ(other.spans.size(), first.spans.size());
      for (size_t i = 0; i < first.spans.size(); ++i) {
        ASSERT_STREQ(other.spans[i].name, first.spans[i].name);
        ASSERT_EQ(other.spans[i].first, first.spans[i].first) << first.spans[i].name;
      }
      EXPECT_EQ(other.weight_stream_bytes, first.weight_stream_bytes);
    }
  }
}

class CacheLatencyTest : public ::testing::TestWithParam<NumberFormat> {
 protected:
  static absl::StatusOr<Plan> PlanOf(int chips, int context) {
    return MakePlan(Model(), chips, context, 1, NumberFormat::kFp16, GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(Formats, CacheLatencyTest,
                         ::testing::Values(NumberFormat::kFp16, NumberFormat::kInt8));

TEST_P(CacheLatencyTest, LatenciesMayBeSweptBothWays) {
  const auto plan = PlanOf(3, 400);
  for (int percent : {50, 100, 150, 200}) {
    const ChipTiming timing = ChipTiming::Default().Scaled(percent);
    const auto compiled =
        CompileChip(*plan, WholeModel(plan->model), kWholeStep, GroupOf(3, 0), timing);
    ASSERT_TRUE(compiled.ok()) << percent;
    const DispatchResult result = Dispatch(compiled->program, timing);
    EXPECT_FALSE(result.fault) << percent << ": " << result.fault->ToString();
  }
}

TEST_P(CacheLatencyTest, EveryLatencyAloneIsTakenOrRefusedByName) {
  const auto plan = PlanOf(2, 330);
  for (const ChipTiming::Parameter& p : ChipTiming::Default().Parameters()) {
    if (!p.assumed) continue;
    for (int value : {1, 3, 4, 7}) {
      const auto timing = ChipTiming::Default().With(p.name, value);
      ASSERT_TRUE(timing.ok()) << timing.status();
      const auto compiled =
          CompileChip(*plan, WholeModel(plan->model), kWholeStep, GroupOf(2, 0), *timing);
      if (compiled.ok()) {
        const DispatchResult result = Dispatch(compiled->program, *timing);
        EXPECT_FALSE(result.fault) << p.name << " = " << value << ": " << result.fault->ToString();
      } else {
        EXPECT_EQ(compiled.status().code(), absl::StatusCode::kInvalidArgument) << p.name;
        EXPECT_NE(std::string(compiled.status().message()).find("latency of "), std::string::npos);
      }
    }
  }
}

TEST(CompilerTest, AShardTooLargeIsRefusedWithTheNumbers) {
  ModelConfig large = Model();
  large.hidden_size = 8192, large.intermediate_size = 28672, large.layers = 80;
  const auto plan = MakePlan(large, 8, 100);
  ASSERT_TRUE(plan.ok());
  const auto compiled =
      CompileChip(*plan, WholeModel(plan->model), kWholeStep, GroupOf(8, 0), ChipTiming::Default());
  ASSERT_FALSE(compiled.ok());
  EXPECT_EQ(compiled.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(std::string(compiled.status().message()).find("8192"), std::string::npos);
}

TEST(CompilerTest, AContextTooLongForTheCacheIsRefused) {
  ModelConfig m = Model();
  m.max_positions = 1'000'000, m.hidden_size = 8, m.layers = 1;
  for (int context : {300'000, 1'000'000}) {
    const auto plan = MakePlan(m, 8, context);
    ASSERT_TRUE(plan.ok());
    const auto compiled = CompileChip(*plan, WholeModel(plan->model), kWholeStep, GroupOf(8, 0),
                                      ChipTiming::Default());
    ASSERT_FALSE(compiled.ok()) << context;
    EXPECT_EQ(compiled.status().code(), absl::StatusCode::kResourceExhausted) << context;
  }
}

TEST(CompilerTest, StreamsEveryWeightOnceAStep) {
  // At least the fp16 bytes of all matrices of one chip, and no more than the padding explains:
  // tiles of 160 columns whose last rows come by 32, plus attention's own tiles.
  const ModelConfig m = Model();
  const CompiledChip chip = Compiled(m, 1, 0, 100);
  const int64_t layer = int64_t{m.hidden_size} * (2 * m.query_size() + 2 * m.kv_size()) +
                        3 * int64_t{m.hidden_size} * m.intermediate_size;
  const int64_t bytes = 2 * (m.layers * layer + int64_t{m.hidden_size} * m.vocab_size);
  EXPECT_GE(chip.weight_stream_bytes, bytes);
  EXPECT_LE(chip.weight_stream_bytes, 4 * bytes);
  EXPECT_GT(chip.layout.use.total(), bytes);
}

}  // namespace
}  // namespace lockstep
