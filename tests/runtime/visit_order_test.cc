// In which order stages are visited where memory holds one at a time.
#include "runtime/run/visit_order.h"

#include <map>
#include <set>
#include <tuple>

#include "tests/runtime/pipeline_machine.h"

namespace lockstep {
namespace {

std::shared_ptr<CompiledPipeline> Step(const Deployment& deployment) {
  Machine machine(deployment, ChipTiming::Default());
  auto token = *CompiledPipeline::Create(machine.pipeline, machine.timing);
  return machine.pipeline.plan.prompt_positions() > 1 ? *CompilePrompt(token) : token;
}

// Each part once, and after what it needs: the one before it in its row, and on its chips.
void ExpectLegal(const CompiledPipeline& step, const std::vector<Visit>& visits) {
  std::set<const PipelinePart*> seen;
  std::map<uint32_t, int64_t> last_start;
  for (const Visit& visit : visits) {
    ASSERT_FALSE(visit.empty());
    for (const PipelinePart* part : visit) {
      EXPECT_EQ(std::tuple(part->stage, part->shape.relay),
                std::tuple(visit.front()->stage, visit.front()->shape.relay));
      EXPECT_TRUE(seen.insert(part).second);
      for (uint32_t chip : part->chips) {
        const auto [at, first] = last_start.try_emplace(chip, part->start);
        EXPECT_TRUE(first || at->second < part->start) << "chip" << chip;
        at->second = part->start;
      }
      if (part == &step.parts().front()) continue;
      const PipelinePart* before = part - 1;
      if (before->position != part->position) continue;
      if (before->shape.sequence != part->shape.sequence) continue;
      EXPECT_EQ(seen.count(before), 1u) << "stage " << part->stage;
    }
  }
  EXPECT_EQ(seen.size(), step.parts().size());
}

TEST(VisitOrderTest, AStageIsVisitedOnceForAllThatFollowsEachOther) {
  const Deployment four = Deploy(Model(4, 96), 4, 1, 1);
  const Deployment sequences = Deploy(Model(4, 96), 4, 1, 1, 8, 5);
  for (const auto& [deployment, rows] :
       {std::pair{four, 1u}, {sequences, 5u}, {InFlight(four, 6), 6u}, {InFlight(four, 8, 4), 2u}}) {
    const auto step = Step(deployment);
    const std::vector<Visit> visits = VisitsOf(step->parts());
    ExpectLegal(*step, visits);
    ASSERT_EQ(visits.size(), 4u);
    for (const Visit& visit : visits) EXPECT_EQ(visit.size(), rows);
  }
}

// Rows of the embedding or the head on several stages bring a row back to a stage.
TEST(VisitOrderTest, KeepsToWhatPartsNeed) {
  const Deployment cut = Deploy(Model(4, 96), 4, 3, 2);
  for (const Deployment& deployment :
       {cut, InFlight(cut, 6), InFlight(cut, 16, 4, 2), InFlight(cut, 7, 1, 3),
        Deploy(Model(4, 96), 4, 3, 2, 8, 5)}) {
    const auto step = Step(deployment);
    const std::vector<Visit> visits = VisitsOf(step->parts());
    ExpectLegal(*step, visits);
    EXPECT_LE(visits.size(), step->parts().size());
    EXPECT_GE(visits.size(), 7u);  // 2 for embeddings, 4 for layers, 1 for heads
  }
}

}  // namespace
}  // namespace lockstep
