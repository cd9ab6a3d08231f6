// Pipelines of nodes: the bits of one node, one digest of both engines, roles that are shared.
#include "runtime/compiler/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/pipeline_machine.h"

namespace lockstep {
namespace {
using ::testing::HasSubstr;
constexpr NumberFormat kFp16 = NumberFormat::kFp16, kInt8 = NumberFormat::kInt8;

struct Cut {
  int stages, embeds, heads, hidden, cables = 4;  // cables: of a pair of nodes
};
class PipelineTest : public ::testing::TestWithParam<Cut> {};

TEST_P(PipelineTest, GivesTheBitsOfOneNodeOnBothEnginesAndAnyThreads) {
  const Cut& c = GetParam();
  const RandomModel model(Model(4, c.hidden), "F16", 5);
  TempFolder folder;
  model.WriteTo(folder);
  const Checkpoint weights = *Checkpoint::Open(folder.path());
  const ChipTiming timing = ChipTiming::Default();
  const auto want =
      Machine(Deploy(model.config, 1, 1, 1), timing).Run(EngineKind::kFunctional, &weights, 1);
  Machine machine(Deploy(model.config, c.stages, c.embeds, c.heads), timing,
                  LinkModel::kDefaultPreset.data(), c.cables);
  EXPECT_EQ(machine.Run(EngineKind::kFunctional, &weights, 1), want);
  const uint64_t digest = machine.digest;
  machine.Run(EngineKind::kTiming, nullptr, 3);
  EXPECT_EQ(machine.digest, digest);
  const auto verified = machine.Verify();
  EXPECT_TRUE(verified.ok()) << verified.status();
}

INSTANTIATE_TEST_SUITE_P(Cuts, PipelineTest,
                         ::testing::Values(Cut{2, 1, 1, 96}, Cut{2, 2, 2, 700}, Cut{4, 1, 1, 350},
                                           Cut{4, 3, 4, 96}, Cut{3, 2, 3, 1300},
                                           Cut{2, 2, 2, 2600, 1}));

// A word's four vectors take four link periods of a cable: the last word leaves as soon as it is made, or
// as soon as the cable has taken those before it.
TEST(PipelineTransferTest, WordsLeaveWhileTheNextOnesAreMade) {
  Machine machine(Deploy(Model(4, 2600), 3, 2, 2), ChipTiming::Default(),
                  LinkModel::kDefaultPreset.data(), 1);
  const auto compiled = *CompiledPipeline::Create(machine.pipeline, machine.timing);
  const int words = compiled->pipeline().plan.hidden_words(), pace = 4 * LinkPeriod(machine.timing);
  int senders = 0;
  for (const PipelinePart& part : compiled->parts()) {
    if (part.shape.send == nullptr || !part.shape.layers) continue;
    const CompiledChip& chip = compiled->FirstRoleOf(part).compiled;
    std::vector<int64_t> made;
    for (const Placer::Span& span : chip.spans) {
      if (std::string_view(span.name) == "reduce") made.push_back(span.last);
    }
    std::sort(made.begin(), made.end());
    const int64_t first = made[made.size() - words], last = made.back();
    EXPECT_GT(chip.moved_until, last) << "stage " << part.stage;
    EXPECT_LE(chip.moved_until, std::max(last + pace, first + words * pace) + 60)
        << "stage " << part.stage;
    ++senders;
  }
  EXPECT_EQ(senders, 3);
}

TEST(PipelineVisitsTest, StagesInTurnGiveTheSameBitsAndDigestInAFractionOfTheMemory) {
  const RandomModel model(Model(6, 96), "F16", 5);
  TempFolder folder;
  model.WriteTo(folder);
  const Checkpoint weights = *Checkpoint::Open(folder.path());
  for (const NumberFormat kv_cache : {kFp16, kInt8}) {
    Machine machine(Deploy(model.config, 6, 2, 3, 8, 1, kv_cache), ChipTiming::Default());
    const auto want = machine.Run(EngineKind::kFunctional, &weights, 1);
    const uint64_t digest = machine.digest;
    const int64_t touched = machine.touched;
    const auto token = *CompiledPipeline::Create(machine.pipeline, machine.timing);
    EXPECT_EQ(machine.Run(EngineKind::kFunctional, &weights, 1, {7}, LargestStage(*token)), want);
    EXPECT_EQ(machine.digest, digest);
    EXPECT_LT(machine.touched * 3, touched);
  }
}

TEST(PipelineVisitsTest, AStageAboveTheLimitIsRefusedWithTheBytes) {
  const RandomModel model(Model(4, 96), "F16", 5);
  TempFolder folder;
  model.WriteTo(folder);
  const Checkpoint weights = *Checkpoint::Open(folder.path());
  Machine machine(Deploy(model.config, 2, 1, 1), ChipTiming::Default());
  auto fabric = LocalFabric::Create(machine.wiring, 1);
  SessionSetup setup{machine.pipeline, machine.timing, EngineKind::kFunctional};
  setup.limit = SessionSetup::Limit{1'000'000, machine.wiring};
  const auto session = Session::Create(setup, fabric->get(), &weights, nullptr);
  ASSERT_FALSE(session.ok());
  EXPECT_THAT(std::string(session.status().message()), HasSubstr("--sram-limit gives 1000000"));
}

// A step of three sequences is, for each of them, the step it would have alone.
TEST(PipelineSequencesTest, EachHasTheLogitsItHasAlone) {
  const RandomModel model(Model(4, 96), "F16", 5);
  TempFolder folder;
  model.WriteTo(folder);
  const Checkpoint weights = *Checkpoint::Open(folder.path());
  const ChipTiming timing = ChipTiming::Default();
  const std::vector<int> first = {7, 70, 33};
  for (const NumberFormat kv_cache : {kFp16, kInt8}) {
    Machine machine(Deploy(model.config, 3, 2, 2, 8, 3, kv_cache), timing);
    const auto all = machine.Run(EngineKind::kFunctional, &weights, 2, first);
    const uint64_t digest = machine.digest;
    machine.Run(EngineKind::kTiming, nullptr, 1, first);
    EXPECT_EQ(machine.digest, digest);
    EXPECT_TRUE(machine.Verify().ok()) << machine.Verify().status();
    const int64_t limit = LargestStage(**CompiledPipeline::Create(machine.pipeline, timing));
    EXPECT_EQ(machine.Run(EngineKind::kFunctional, &weights, 1, first, limit), all);
    EXPECT_EQ(machine.digest, digest);
    for (size_t i = 0; i < first.size(); ++i) {
      const auto alone = Machine(Deploy(model.config, 1, 1, 1, 8, 1, kv_cache), timing)
                             .Run(EngineKind::kFunctional, &weights, 1, {first[i]});
      for (size_t position = 0; position < all.size(); ++position) {
        const std::vector<float> mine(all[position].begin() + i * 105,
                                      all[position].begin() + (i + 1) * 105);
        EXPECT_EQ(mine, alone[position]) << "sequence " << i << ", position " << position;
      }
    }
  }
}

TEST(PipelineSequencesTest, FollowEachOtherAsCloselyAsTheSlowestStageAllows) {
  Machine one(Deploy(Model(8, 350), 4, 1, 1), ChipTiming::Default());
  Machine many(Deploy(Model(8, 350), 4, 1, 1, 8, 5), ChipTiming::Default());
  EXPECT_TRUE(many.Verify().ok()) << many.Verify().status();
  const auto alone = *CompiledPipeline::Create(one.pipeline, one.timing);
  const auto together = *CompiledPipeline::Create(many.pipeline, many.timing);
  int64_t slowest = 0;
  for (const PipelinePart& part : alone->parts()) {
    slowest = std::max(slowest, part.end - part.start + DrainCycles(one.timing));
  }
  EXPECT_EQ(together->latency(), alone->latency());
  EXPECT_EQ(together->period(), slowest);  // each stage has one part
  EXPECT_EQ(together->cycles(), alone->latency() + 4 * slowest);
}

struct Prompt {
  int batch, flight, stages, embeds, heads, hidden, cables, inbox = 0;
  NumberFormat kv_cache = kFp16, weights = kFp16;
};
class PipelinePromptTest : public ::testing::TestWithParam<Prompt> {};

// Sixteen positions in batches, in flight, in groups of these.
TEST_P(PipelinePromptTest, GivesTheLogitsOfOneByOne) {
  const Prompt& b = GetParam();
  const RandomModel model(Model(4, b.hidden), "F16", 5);
  TempFolder folder;
  model.WriteTo(folder);
  const Checkpoint weights = *Checkpoint::Open(folder.path());
  Deployment one = Deploy(model.config, b.stages, b.embeds, b.heads, 8, 1, b.kv_cache, b.weights);
  if (b.inbox > 0) one.stages[0].embedding.end = one.stages[1].embedding.begin = 9;
  const char* preset = LinkModel::kDefaultPreset.data();
  Machine alone(one, ChipTiming::Default(), preset, b.cables);
  Machine many(InFlight(one, b.flight, b.batch, b.inbox), ChipTiming::Default(), preset, b.cables);
  const auto want = RunPrompt(alone, EngineKind::kFunctional, &weights, 1, 16);
  ASSERT_EQ(want.size(), 3u);
  EXPECT_EQ(RunPrompt(many, EngineKind::kFunctional, &weights, 2, 16), want);
  const auto [digest, touched] = std::pair(many.digest, many.touched);
  EXPECT_NE(digest, alone.digest);
  RunPrompt(many, EngineKind::kTiming, nullptr, 1, 16);
  EXPECT_EQ(many.digest, digest);
  const auto token = *CompiledPipeline::Create(many.pipeline, many.timing);
  const auto prompt = CompilePrompt(token);
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_TRUE(many.Verify(**prompt).ok()) << many.Verify(**prompt).status();
  bool by_owners = false;
  const std::vector<CompiledPipeline::ChipPart> parts = *(*prompt)->PartsOf(0);
  for (const CompiledPipeline::ChipPart& part : parts) {
    for (const Placer::Span& span : part.role->compiled.spans) {
      by_owners |= std::string_view(span.name) == "reduce-scatter";
    }
  }
  EXPECT_EQ(by_owners, b.hidden >= 2000);
  EXPECT_EQ(RunPrompt(many, EngineKind::kFunctional, &weights, 1, 16, LargestStage(*token)), want);
  EXPECT_EQ(many.digest, digest);
  EXPECT_LT(many.touched, touched);
}

INSTANTIATE_TEST_SUITE_P(
    Cuts, PipelinePromptTest,
    ::testing::Values(Prompt{1, 8, 4, 1, 1, 96, 4}, Prompt{1, 4, 4, 2, 3, 96, 4},
                      Prompt{4, 16, 3, 3, 2, 350, 2}, Prompt{16, 1, 4, 1, 4, 350, 1},
                      Prompt{8, 16, 2, 2, 1, 1000, 3}, Prompt{1, 16, 3, 3, 2, 350, 2, 3},
                      Prompt{4, 16, 3, 2, 1, 350, 4, 4}, Prompt{2, 16, 4, 4, 4, 96, 1, 5},
                      Prompt{4, 16, 3, 2, 2, 96, 4, 0, kInt8},
                      // Enough words for owners to add them.
                      Prompt{16, 1, 2, 1, 2, 2000, 4},
                      Prompt{4, 16, 2, 2, 1, 2600, 2},
                      Prompt{16, 1, 2, 1, 1, 2000, 4, 0, kFp16, kInt8},
                      Prompt{4, 8, 4, 1, 1, 96, 4, 0, kFp16, kInt8},
                      Prompt{16, 1, 2, 2, 1, 700, 4, 0, kInt8, kInt8},
                      Prompt{2, 16, 3, 3, 2, 350, 2, 3, kFp16, kInt8}));

struct Prompts {
  int stages, embeds, flight, batch, inbox;
  NumberFormat format;
};
class PipelinePromptsTest : public ::testing::TestWithParam<Prompts> {};

// Prompts of several sequences, in batches or in flight one behind the other, are to each what its
// own is alone.
TEST_P(PipelinePromptsTest, OfSequencesGiveEachTheLogitsItHasAlone) {
  const Prompts& p = GetParam();
  const RandomModel model(Model(4, 96), "F16", 5);
  TempFolder folder;
  model.WriteTo(folder);
  const Checkpoint weights = *Checkpoint::Open(folder.path());
  const ChipTiming timing = ChipTiming::Default();
  const std::vector<int> first = {7, 70};
  const auto deploy = [&](int sequences) {
    return Deploy(model.config, p.stages, p.embeds, std::min(p.stages, 2), 8, sequences, p.format,
                  p.format);
  };
  Machine machine(InFlight(deploy(2), p.flight, p.batch, p.inbox), timing);
  const auto all = RunPrompt(machine, EngineKind::kFunctional, &weights, 2, 16, std::nullopt, first);
  ASSERT_EQ(all.size(), 3u);
  const uint64_t digest = machine.digest;
  RunPrompt(machine, EngineKind::kTiming, nullptr, 1, 16, std::nullopt, first);
  EXPECT_EQ(machine.digest, digest);
  const auto prompt = *CompilePrompt(*CompiledPipeline::Create(machine.pipeline, timing));
  EXPECT_TRUE(machine.Verify(*prompt).ok()) << machine.Verify(*prompt).status();
  const int64_t limit = LargestStage(*prompt);
  EXPECT_EQ(RunPrompt(machine, EngineKind::kFunctional, &weights, 1, 16, limit, first), all);
  EXPECT_EQ(machine.digest, digest);
  for (size_t i = 0; i < first.size(); ++i) {
    Machine one(deploy(1), timing);
    const auto alone = RunPrompt(one, EngineKind::kFunctional, &weights, 1, 16, std::nullopt,
                                 std::vector{first[i]});
    for (size_t step = 0; step < all.size(); ++step) {
      const std::vector<float> mine(all[step].begin() + i * 105, all[step].begin() + (i + 1) * 105);
      EXPECT_EQ(mine, alone[step]) << "sequence " << i << ", step " << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cuts, PipelinePromptsTest,
                         ::testing::Values(Prompts{1, 1, 1, 8, 0, kFp16},
                                           Prompts{3, 2, 1, 4, 0, kFp16},
                                           Prompts{3, 1, 8, 1, 0, kFp16},
                                           Prompts{3, 2, 16, 4, 0, kInt8},
                                           Prompts{3, 3, 16, 2, 3, kFp16}));

// The host reads them when a part has ended: the next position's overwrite them.
TEST(PipelineFlightTest, EveryPositionHasTheLogitsItHasAlone) {
  const RandomModel model(Model(4, 96), "F16", 5);
  TempFolder folder;
  model.WriteTo(folder);
  const Checkpoint weights = *Checkpoint::Open(folder.path());
  const ChipTiming timing = ChipTiming::Default();
  const auto all = [](const std::vector<std::vector<float>>& steps) {
    std::vector<float> out;
    for (const std::vector<float>& step : steps) out.insert(out.end(), step.begin(), step.end());
    return out;
  };
  struct Case {
    int sequences, embeds, heads, flight, batch, inbox;
  };
  for (const Case& c : {Case{1, 1, 1, 8, 1, 0}, Case{1, 2, 3, 16, 4, 0}, Case{1, 3, 3, 16, 2, 3},
                        Case{2, 3, 2, 8, 1, 3}, Case{2, 2, 1, 8, 4, 2}}) {
    SCOPED_TRACE(::testing::Message() << c.sequences << " sequences, flight " << c.flight
                                      << ", batch " << c.batch << ", inbox " << c.inbox);
    const std::vector<int> first = c.sequences == 1 ? std::vector{7} : std::vector{7, 70};
    const Deployment one = Deploy(model.config, 3, c.embeds, c.heads, 8, c.sequences);
    Deployment flight = InFlight(one, c.flight, c.batch, c.inbox);
    flight.plan.all_logits = true;
    Machine alone(one, timing), many(flight, timing);
    const auto want =
        all(RunSteps(alone, EngineKind::kFunctional, &weights, 1, 16, std::nullopt, first));
    ASSERT_EQ(want.size(), 18u * 105 * c.sequences);
    EXPECT_EQ(all(RunSteps(many, EngineKind::kFunctional, &weights, 2, 16, std::nullopt, first)),
              want);
    const uint64_t digest = many.digest;
    const auto prompt = *CompilePrompt(*CompiledPipeline::Create(many.pipeline, timing));
    EXPECT_TRUE(many.Verify(*prompt).ok()) << many.Verify(*prompt).status();
    const int64_t limit = LargestStage(*prompt);
    EXPECT_EQ(all(RunSteps(many, EngineKind::kFunctional, &weights, 1, 16, limit, first)), want);
    EXPECT_EQ(many.digest, digest);
    RunSteps(many, EngineKind::kTiming, nullptr, 1, 16, std::nullopt, first);
    EXPECT_EQ(many.digest, digest);
  }
}

// The next sequence follows as one position more does.
TEST(PipelineSequencesTest, PositionsInFlightOfOneFollowThoseOfTheOther) {
  for (const int inbox : {0, 3}) {
    const auto flight = [&](int sequences) {
      const Deployment d = Deploy(Model(8, 96), 4, 2, 1, 8, sequences);
      Machine machine(InFlight(d, 6, 1, inbox), ChipTiming::Default());
      return *CompilePrompt(*CompiledPipeline::Create(machine.pipeline, machine.timing));
    };
    const auto one = flight(1), three = flight(3);
    const int64_t more = inbox > 0 ? 4 * three->group_period() : 12 * three->period();
    EXPECT_EQ(three->period(), one->period());
    EXPECT_EQ(three->cycles(), one->cycles() + more) << inbox;
    EXPECT_EQ(three->parts().size(), 3 * one->parts().size());
  }
}

// So a few positions say how long many take.
TEST(PipelineFlightTest, EachPositionMoreTakesOnePeriod) {
  const Deployment one = Deploy(Model(8, 350), 4, 2, 2);
  Machine alone(one, ChipTiming::Default());
  const auto token = *CompiledPipeline::Create(alone.pipeline, alone.timing);
  int64_t period = 0;
  for (int positions : {2, 3, 5, 24}) {
    Machine machine(InFlight(one, positions), ChipTiming::Default());
    const auto base = *CompiledPipeline::Create(machine.pipeline, machine.timing);
    const auto flight = *CompiledPipeline::CreateFlight(*base);
    if (period == 0) period = flight->period();
    EXPECT_EQ(flight->period(), period) << positions;
    EXPECT_EQ(flight->cycles(), token->latency() + (positions - 1) * period) << positions;
    EXPECT_LT(2 * period, token->latency());
    EXPECT_TRUE(machine.Verify(*flight).ok()) << machine.Verify(*flight).status();
  }
}

// Rows of the embedding on many stages keep positions apart, but not where embeddings go in groups.
TEST(PipelineFlightTest, AnInboxBringsPositionsCloserTogether) {
  const auto flight = [](int embeds, int positions, int inbox) {
    Machine machine(InFlight(Deploy(Model(8, 350), 8, embeds, 1), positions, 1, inbox),
                    ChipTiming::Default());
    const auto token = *CompiledPipeline::Create(machine.pipeline, machine.timing);
    auto flight = *CompiledPipeline::CreateFlight(*token);
    EXPECT_TRUE(machine.Verify(*flight).ok()) << machine.Verify(*flight).status();
    return flight;
  };
  const auto one = flight(1, 24, 0), many = flight(6, 24, 0), groups = flight(6, 24, 8);
  EXPECT_GT(many->period(), 4 * one->period());
  EXPECT_LT(groups->period(), one->period() + one->period() / 8);
  EXPECT_EQ(groups->group(), 8);
  EXPECT_LT(2 * groups->group_period(), 8 * many->period());
  EXPECT_LT(2 * groups->cycles(), many->cycles());
  EXPECT_EQ(flight(6, 40, 8)->cycles(), groups->cycles() + 2 * groups->group_period());
}

TEST(PipelineRolesTest, GrowWithTheKindsOfStagesAndNotWithTheirNumber) {
  // First, inner and last stages, eight members each.
  for (int stages : {3, 5, 8}) {
    Machine machine(Deploy(Model(8 * 3 * 5, 96), stages, 1, 1), ChipTiming::Default());
    const auto verified = machine.Verify();
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(machine.roles, 24u) << stages;
  }
}

TEST(PipelineRolesTest, StartsFollowEachOtherByOnePeriodAStage) {
  Machine machine(Deploy(Model(8, 96), 8, 1, 1), ChipTiming::Default());
  const auto compiled = *CompiledPipeline::Create(machine.pipeline, machine.timing);
  const auto parts = compiled->parts();
  ASSERT_EQ(parts.size(), 8u);
  for (size_t s = 2; s + 1 < parts.size(); ++s) {
    EXPECT_EQ(parts[s + 1].start - parts[s].start, parts[2].start - parts[1].start);
  }
}

TEST(PipelineRolesTest, LegalWithEveryHopPresetAndOtherLatencies) {
  const Deployment d = Deploy(Model(4, 350), 4, 2, 2);
  for (int percent : {50, 150, 200}) {
    Machine machine(d, ChipTiming::Default().Scaled(percent));
    EXPECT_TRUE(machine.Verify().ok()) << percent;
  }
  for (const char* preset : {"A", "B", "C"}) {
    Machine machine(d, *MakeTiming({}, *MakeLinks(Rack(), preset)), preset);
    EXPECT_TRUE(machine.Verify().ok()) << preset;
  }
}

}  // namespace
}  // namespace lockstep
