// Members of a group place the same blocks in the same cycles, so that one of them decides for all.
#include <gtest/gtest.h>

#include "chip/digest.h"
#include "runtime/compiler/pipeline.h"
#include "runtime/compiler/prefill.h"
#include "runtime/machine/machine.h"
#include "tests/runtime/full_group.h"
#include "tests/runtime/odd_model.h"

namespace lockstep {
namespace {

ModelConfig Model() { return OddModel(1340, 701, 4); }

Plan PlanOf(int chips, NumberFormat weights, int batch) {
  Plan plan = *MakePlan(Model(), chips, 200, 1, weights);
  plan.batch = batch;
  return plan;
}

void ExpectMembersToFollow(const Plan& plan) {
  const auto compile = plan.batch > 1 ? CompilePrefill : CompileChip;
  const ChipTiming timing = ChipTiming::Default();
  const StageShape stage = WholeModel(plan.model);
  const auto first = *compile(plan, stage, kWholeStep, GroupOf(plan.chips, 0), timing, nullptr);
  ASSERT_FALSE(first.placements.empty());
  for (int self = 1; self < plan.chips; ++self) {
    const Group group = GroupOf(plan.chips, self);
    const auto alone = *compile(plan, stage, kWholeStep, group, timing, nullptr);
    const auto follows = *compile(plan, stage, kWholeStep, group, timing, &first.placements);
    EXPECT_EQ(follows.program, alone.program) << self;
    EXPECT_NE(follows.program, first.program) << self;
    EXPECT_EQ(follows.weight_stream_bytes, alone.weight_stream_bytes);
  }
}

TEST(PlacementsTest, OtherMembersOfAGroupFollowTheFirst) {
  for (int chips : {2, 5, 8}) ExpectMembersToFollow(PlanOf(chips, NumberFormat::kFp16, 1));
  ExpectMembersToFollow(PlanOf(3, NumberFormat::kInt8, 1));
}

TEST(PlacementsTest, SoTheyDoForBatches) {
  ExpectMembersToFollow(PlanOf(3, NumberFormat::kFp16, 4));
  Plan by_owners = PlanOf(5, NumberFormat::kInt8, 16);
  by_owners.model.hidden_size = 2000;
  ExpectMembersToFollow(by_owners);
}

class PipelinePlacementsTest : public ::testing::TestWithParam<NumberFormat> {};
INSTANTIATE_TEST_SUITE_P(Formats, PipelinePlacementsTest,
                         ::testing::Values(NumberFormat::kFp16, NumberFormat::kInt8));

// Whether compiled on threads or asked for one by one.
TEST_P(PipelinePlacementsTest, ProgramsAreThoseThatEachMemberMakesAlone) {
  TopologySpec spec;
  spec.name = "rack";
  spec.node.chips = 8;
  spec.rack = GroupRule{9, 1, 4, 4, {CableKind::kQsfpCopper, 2000}};
  const Topology topology = *Topology::Create(spec);
  const LinkModel links = *MakeLinks(topology, LinkModel::kDefaultPreset.data());
  DeploymentRequest request{Model()};
  request.nodes = 4, request.context = 40, request.weights = GetParam();
  const ChipTiming timing = ChipTiming::Default();
  const Pipeline pipeline =
      *MakePipeline(*MakeDeployment(request, topology), topology, links, timing);
  const auto step = CompiledPipeline::Step::kToken;
  const auto together = *CompiledPipeline::Create(pipeline, timing, step, 2);
  const auto one_by_one = *CompiledPipeline::Create(pipeline, timing, step, 0);
  for (uint32_t chip = 0; chip < 32; ++chip) {
    const auto first = *together->PartsOf(chip), second = *one_by_one->PartsOf(chip);
    ASSERT_EQ(first.size(), second.size());
    for (size_t i = 0; i < first.size(); ++i) {
      const PipelinePart& part = *first[i].part;
      const PipelineStage& stage = pipeline.stages[part.stage];
      const auto alone =
          *CompileChip(pipeline.plan, stage.shape, part.shape, stage.groups[chip % 8], timing);
      const auto want = Dispatch(alone.program, timing, {.chip = chip}).schedule;
      EXPECT_EQ(ScheduleHash(*first[i].role->schedule), ScheduleHash(want)) << chip;
      EXPECT_EQ(ScheduleHash(*second[i].role->schedule), ScheduleHash(want)) << chip;
      EXPECT_EQ(part.start, second[i].part->start);
    }
  }
}

}  // namespace
}  // namespace lockstep
