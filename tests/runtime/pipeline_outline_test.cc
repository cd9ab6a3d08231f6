// What processes tell each other of a step, so that each compiles only the programs of its chips.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chip/digest.h"
#include "lockstep/v1/step_outline.pb.h"
#include "runtime/compiler/pipeline.h"
#include "tests/runtime/pipeline_machine.h"

namespace lockstep {
namespace {

using Step = std::shared_ptr<CompiledPipeline>;

Machine Stages(int sequences, int batch, int flight) {
  Deployment d = Deploy(Model(6, 96), 3, 2, 2, 8, sequences);
  d.plan.batch = batch, d.plan.flight = flight;
  d.plan.inbox = flight > 1 ? 2 : 0;
  d.plan.all_logits = flight > 1 && sequences > 1;
  return Machine(d, ChipTiming::Default());
}

void ExpectTheSame(CompiledPipeline& all, CompiledPipeline& told) {
  EXPECT_EQ(told.cycles(), all.cycles());
  EXPECT_EQ(told.latency(), all.latency());
  EXPECT_EQ(told.period(), all.period());
  EXPECT_EQ(told.group(), all.group());
  EXPECT_EQ(told.group_period(), all.group_period());
  EXPECT_EQ(told.batch(), all.batch());
  EXPECT_EQ(told.logits_of_step(), all.logits_of_step());
  EXPECT_EQ(told.Outline(), all.Outline());
  const uint32_t chip = 8 + 5;  // of the stage in the middle
  const auto want = *all.PartsOf(chip), got = *told.PartsOf(chip);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].part->start, want[i].part->start);
    EXPECT_EQ(got[i].part->position, want[i].part->position);
    EXPECT_EQ(got[i].part->sram, want[i].part->sram);
    EXPECT_EQ(ScheduleHash(*got[i].role->schedule), ScheduleHash(*want[i].role->schedule));
  }
}

struct Case {
  int sequences, batch, flight;
};

class PipelineOutlineTest : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Steps, PipelineOutlineTest,
                         ::testing::Values(Case{1, 1, 1}, Case{3, 1, 1}, Case{1, 8, 1},
                                           Case{1, 1, 4}, Case{2, 4, 16}));

TEST_P(PipelineOutlineTest, AnotherProcessHasTheSameStepAndCompilesItsOwnChipsPrograms) {
  const Machine machine = Stages(GetParam().sequences, GetParam().batch, GetParam().flight);
  const auto follow = [&](const Step& step, const CompiledPipeline* token) {
    return *CompiledPipeline::FromOutline(machine.pipeline, machine.timing, step->Outline(), token);
  };
  const Step all = *CompiledPipeline::Create(machine.pipeline, machine.timing);
  const Step told = follow(all, nullptr);
  EXPECT_EQ(told->roles(), 0u);
  ExpectTheSame(*all, *told);
  EXPECT_EQ(told->roles(), told->PartsAt(8 + 5).size());
  if (machine.pipeline.plan.prompt_positions() == 1) return;
  const Step prompt = *CompilePrompt(all);
  ExpectTheSame(*prompt, *follow(prompt, told.get()));
}

TEST(PipelineOutlineTest, PlacementsAreToldInsteadOfLookedFor) {
  const Machine machine = Stages(1, 1, 1);
  const Step all = *CompiledPipeline::Create(machine.pipeline, machine.timing);
  const Step told =
      *CompiledPipeline::FromOutline(machine.pipeline, machine.timing, all->Outline());
  const auto mine = told->PartsAt(8 + 5);
  const std::string wanted = told->programs().Wanted(mine);
  const std::string answer = *all->programs().AnswerTo(wanted);
  v1::Placements read;
  ASSERT_TRUE(read.ParseFromString(answer));
  ASSERT_GE(read.kinds_size(), 2);  // its layers, and its part of the head
  int answers = 0;
  for (const auto& kind : read.kinds()) answers += kind.steps_size();
  EXPECT_GT(answers, 100);
  ASSERT_TRUE(told->programs().Learn(answer).ok());
  EXPECT_EQ(told->programs().Wanted(mine), "");
  ExpectTheSame(*all, *told);
}

// With fewer than it asks for it cannot go on, so it does follow them.
TEST(PipelineOutlineDeathTest, PlacementsThatAreToldAreFollowed) {
  const Machine machine = Stages(1, 1, 1);
  const Step all = *CompiledPipeline::Create(machine.pipeline, machine.timing);
  const Step told =
      *CompiledPipeline::FromOutline(machine.pipeline, machine.timing, all->Outline());
  v1::Placements few;
  ASSERT_TRUE(few.ParseFromString(
      *all->programs().AnswerTo(told->programs().Wanted(told->PartsAt(8 + 5)))));
  for (auto& kind : *few.mutable_kinds()) kind.mutable_steps()->Truncate(3);
  ASSERT_TRUE(told->programs().Learn(few.SerializeAsString()).ok());
  EXPECT_DEATH(told->PartsOf(8 + 5).IgnoreError(), "only 3 placements are known");
}

TEST(PipelineOutlineTest, WhatNoStepGivesIsRefused) {
  const Machine machine = Stages(1, 1, 1);
  const auto read = [&](const std::string& bytes) {
    return CompiledPipeline::FromOutline(machine.pipeline, machine.timing, bytes).status();
  };
  v1::StepOutline outline;
  ASSERT_TRUE(outline.ParseFromString(
      (*CompiledPipeline::Create(machine.pipeline, machine.timing))->Outline()));
  EXPECT_EQ(read("\xff\xff").code(), absl::StatusCode::kDataLoss);
  const auto with = [&](const auto& change) {
    v1::StepOutline bad = outline;
    change(*bad.mutable_parts(1));
    return read(bad.SerializeAsString());
  };
  EXPECT_TRUE(with([](v1::StepPart&) {}).ok());
  for (const int stage : {-1, 3}) {
    EXPECT_THAT(std::string(with([&](auto& p) { p.set_stage(stage); }).message()),
                ::testing::HasSubstr(absl::StrCat("a part of stage ", stage)));
  }
  EXPECT_FALSE(with([](auto& p) { p.set_sequence(1); }).ok());
  EXPECT_FALSE(with([](auto& p) { p.set_send(7); }).ok());
  EXPECT_FALSE(with([](auto& p) { p.set_receive(-1); }).ok());
  EXPECT_FALSE(with([](auto& p) { p.set_relay(99); }).ok());
  EXPECT_FALSE(with([](auto& p) { p.add_sram(1); }).ok());
  EXPECT_EQ((*CompiledPipeline::Create(machine.pipeline, machine.timing))
                ->programs()
                .AnswerTo("\xff\xff")
                .status()
                .code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace lockstep
