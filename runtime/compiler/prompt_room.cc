// Tries layouts (runtime/compiler/prompt_room.h).
#include "runtime/compiler/prompt_room.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "chip/check.h"
#include "runtime/compiler/landing.h"
#include "runtime/compiler/layout.h"
#include "runtime/compiler/prefill.h"

namespace lockstep {
namespace {

int EmbeddingHolders(const std::vector<StageShape>& stages) {
  int holders = 0;
  for (const StageShape& stage : stages) holders += stage.embedding.size() > 0;
  return holders;
}

constexpr int kMostInbox = 64;  // batches; more hardly bring them closer together

// The rows of the embedding dealt out anew: `first` on the first of `holders` stages, the rest in
// equal parts on the others.
std::vector<StageShape> WithFirstRows(std::vector<StageShape> stages, int holders, int first) {
  const int vocabulary = stages[holders - 1].embedding.end;
  const int64_t rest = vocabulary - first, others = holders - 1;
  stages[0].embedding = {0, first};
  for (int i = 1; i < holders; ++i) {
    stages[i].embedding = {first + static_cast<int>(rest * (i - 1) / others),
                           first + static_cast<int>(rest * i / others)};
  }
  return stages;
}

}  // namespace

// Of equal stages one speaks for all. The first one is not as the others where there is an inbox.
absl::Status BatchFits(const Plan& plan, const std::vector<StageShape>& stages) {
  std::set<std::tuple<bool, int, int, int>> known;
  for (const StageShape& s : stages) {
    const std::tuple key(plan.inbox > 0 && s.layers.begin == 0, s.layers.size(), s.embedding.size(),
                         s.head.size());
    if (known.insert(key).second) RETURN_IF_ERROR(LayOut(plan, s).fits);
  }
  return absl::OkStatus();
}

int LargestBatch(const Plan& plan, const std::vector<StageShape>& stages) {
  return LargestSteps(plan, stages, kMostPrefill, 1).batch;
}

PromptSteps LargestSteps(Plan plan, const std::vector<StageShape>& stages, int positions,
                         int flight) {
  PromptSteps best;
  int most = 0;  // positions of a group
  for (plan.batch = kMostPrefill; plan.batch >= 1; plan.batch /= 2) {
    const int batch = plan.batch;
    if (flight > 1 && (flight % batch != 0 || flight == batch)) continue;
    if (batch > positions || (batch > 1 && !BatchFits(plan, stages).ok())) continue;
    if (flight == 1) return {batch, 0};
    const int inbox = InboxOfFlight(plan, stages, flight), group = batch * std::max(1, inbox);
    if (group > most) best = {batch, inbox}, most = group;
  }
  return best;
}

int InboxOfFlight(const Plan& plan, const std::vector<StageShape>& stages, int flight) {
  return LargestInbox(plan, stages, std::min(kMostInbox, flight / plan.batch));
}

int LargestLanding(Plan plan, const std::vector<StageShape>& stages) {
  const int least = LandingRows(plan);
  for (int rows = plan.hidden_words() * plan.batch; rows > least; rows /= 2) {
    plan.landing = rows;
    if (BatchFits(plan, stages).ok()) return rows;
  }
  return 0;
}

int LargestInbox(Plan plan, const std::vector<StageShape>& stages, int most) {
  if (EmbeddingHolders(stages) < 2) return 0;
  for (plan.inbox = most; plan.inbox > 1; plan.inbox /= 2) {
    if (LayOut(plan, stages.front()).fits.ok()) return plan.inbox;
  }
  return 0;
}

void MakeRoomForInbox(Plan plan, std::vector<StageShape>* stages) {
  const int holders = EmbeddingHolders(*stages), rows = stages->front().embedding.size();
  if (holders < 2 || plan.sequences > 1) return;
  if (plan.batch == 1) {
    plan.batch = LargestBatch(plan, *stages);
    if (LargestInbox(plan, *stages, 2) > 0) return;
  }
  for (plan.inbox = kInboxRows; plan.inbox > 1; plan.inbox /= 2) {
    if (LayOut(plan, stages->front()).fits.ok()) return;
    int some = 0, none = rows;  // of the first stage, with the inbox
    while (some + 1 < none) {
      const int middle = (some + none) / 2;
      const StageShape first = WithFirstRows(*stages, holders, middle).front();
      (LayOut(plan, first).fits.ok() ? some : none) = middle;
    }
    if (some == 0) continue;
    const std::vector<StageShape> moved = WithFirstRows(*stages, holders, some);
    if (!BatchFits(plan, moved).ok()) continue;
    *stages = moved;
    return;
  }
}

}  // namespace lockstep
