// Tries layouts (runtime/compiler/prompt_room.h).
#include "runtime/compiler/prompt_room.h"

#include <set>
#include <tuple>

#include "chip/check.h"
#include "runtime/compiler/layout.h"
#include "runtime/compiler/prefill.h"

namespace lockstep {
namespace {

int EmbeddingHolders(const std::vector<StageShape>& stages) {
  int holders = 0;
  for (const StageShape& stage : stages) holders += stage.embedding.size() > 0;
  return holders;
}

bool Fits(const Plan& plan, const StageShape& stage) {
  return (plan.batch > 1 ? PrefillFits(plan, stage) : LayOut(plan, stage).fits).ok();
}

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

// Of equal stages one speaks for all. The first one is not as the others where there is an inbox.
bool AllFit(const Plan& plan, const std::vector<StageShape>& stages) {
  std::set<std::tuple<bool, int, int, int>> known;
  for (const StageShape& s : stages) {
    const std::tuple key(plan.inbox > 0 && s.layers.begin == 0, s.layers.size(), s.embedding.size(),
                         s.head.size());
    if (known.insert(key).second && !Fits(plan, s)) return false;
  }
  return true;
}

}  // namespace

absl::Status BatchFits(const Plan& plan, const std::vector<StageShape>& stages) {
  std::set<std::tuple<int, int, int>> known;
  for (const StageShape& s : stages) {
    const std::tuple key(s.layers.size(), s.embedding.size(), s.head.size());
    if (known.insert(key).second) RETURN_IF_ERROR(PrefillFits(plan, s));
  }
  return absl::OkStatus();
}

int LargestBatch(const Plan& plan, const std::vector<StageShape>& stages) {
  Plan with = plan;
  for (with.batch = kMostPrefill; with.batch > 1; with.batch /= 2) {
    if (BatchFits(with, stages).ok()) break;
  }
  return with.batch;
}

int LargestInbox(Plan plan, const std::vector<StageShape>& stages, int most) {
  if (EmbeddingHolders(stages) < 2) return 0;
  for (plan.inbox = most; plan.inbox > 1; plan.inbox /= 2) {
    if (Fits(plan, stages.front())) return plan.inbox;
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
    if (Fits(plan, stages->front())) return;
    int some = 0, none = rows;  // of the first stage, with the inbox
    while (some + 1 < none) {
      const int middle = (some + none) / 2;
      const StageShape first = WithFirstRows(*stages, holders, middle).front();
      (Fits(plan, first) ? some : none) = middle;
    }
    if (some == 0) continue;
    const std::vector<StageShape> moved = WithFirstRows(*stages, holders, some);
    if (!AllFit(plan, moved)) continue;
    *stages = moved;
    return;
  }
}

}  // namespace lockstep
