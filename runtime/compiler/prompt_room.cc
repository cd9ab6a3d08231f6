// Tries layouts (runtime/compiler/prompt_room.h).
#include "runtime/compiler/prompt_room.h"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "chip/check.h"
#include "runtime/compiler/landing.h"
#include "runtime/compiler/layout.h"
#include "runtime/compiler/prefill.h"
#include "runtime/compiler/prompt_time.h"

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

// With as few rows moved as the inbox needs; nothing if it has no room.
std::optional<std::vector<StageShape>> WithRoom(const Plan& plan,
                                                const std::vector<StageShape>& stages) {
  const int holders = EmbeddingHolders(stages);
  int some = 0, none = stages.front().embedding.size();  // of the first stage, with the inbox
  while (some + 1 < none) {
    const int middle = (some + none) / 2;
    const StageShape first = WithFirstRows(stages, holders, middle).front();
    (LayOut(plan, first).fits.ok() ? some : none) = middle;
  }
  if (some == 0) return std::nullopt;
  std::vector<StageShape> moved = WithFirstRows(stages, holders, some);
  if (!BatchFits(plan, moved).ok()) return std::nullopt;
  return moved;
}

// Cycles of a prompt that fills the context, with the batch that takes the fewest in groups of
// `positions`.
int64_t LeastPrompt(Plan plan, const std::vector<StageShape>& stages, int positions) {
  const int most = std::min(LargestBatch(plan, stages), positions);
  std::optional<int64_t> least;
  for (plan.batch = 1; plan.batch <= most; plan.batch *= 2) {
    plan.inbox = LargestInbox(plan, stages, positions / plan.batch);
    const int64_t cycles = EstimatePrompt(plan, stages, plan.context);
    least = std::min(cycles, least.value_or(cycles));
  }
  return *least;
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
  return ChooseSteps(plan, stages, kMostPrefill, 1).batch;
}

PromptSteps ChooseSteps(Plan plan, const std::vector<StageShape>& stages, int positions,
                        int flight) {
  struct Way {
    PromptSteps steps;
    int64_t cycles;
  };
  std::vector<Way> ways;
  for (plan.batch = kMostPrefill; plan.batch >= 1; plan.batch /= 2) {
    const int batch = plan.batch;
    if (flight > 1 && (flight % batch != 0 || flight == batch)) continue;
    if (batch > positions || (batch > 1 && !BatchFits(plan, stages).ok())) continue;
    if (flight == 1) return {batch, 0};
    const int inbox = InboxOfFlight(plan, stages, flight);
    plan.inbox = std::min(inbox, flight / batch);
    const int64_t cycles = EstimatePrompt(plan, stages, plan.context);
    ways.push_back({{batch, inbox}, cycles});
    plan.inbox = 0;
  }
  if (ways.empty()) return {};
  int64_t least = ways.front().cycles;
  for (const Way& way : ways) least = std::min(least, way.cycles);
  while (ways.back().cycles - least > least / 32) ways.pop_back();
  return ways.back().steps;
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
  if (EmbeddingHolders(stages) < 2 || most < 2) return 0;
  const auto fits = [&](int inbox) {
    plan.inbox = inbox;
    return LayOut(plan, stages.front()).fits.ok();
  };
  for (int inbox = most; inbox <= kMostInbox; inbox *= 2) {
    if (fits(inbox)) return inbox;
  }
  for (int inbox = most / 2; inbox > 1; inbox /= 2) {
    if (fits(inbox)) return inbox;
  }
  return 0;
}

void MakeRoomForInbox(Plan plan, std::vector<StageShape>* stages) {
  if (EmbeddingHolders(*stages) < 2 || plan.sequences > 1) return;
  const int least = plan.batch, most = plan.batch > 1 ? plan.batch : LargestBatch(plan, *stages);
  std::optional<int64_t> as_it_is, best;  // cycles
  std::vector<StageShape> moved;
  for (plan.batch = least; plan.batch <= most; plan.batch *= 2) {
    const int rows = std::max(kInboxRows, kInboxPositions / plan.batch);
    plan.inbox = std::min(rows, LargestInbox(plan, *stages, rows));
    const int64_t now = EstimatePrompt(plan, *stages, plan.context);
    as_it_is = std::min(now, as_it_is.value_or(now));
    for (int inbox = rows; inbox > std::max(1, plan.inbox); inbox /= 2) {
      Plan wish = plan;
      wish.inbox = inbox;
      std::optional<std::vector<StageShape>> with = WithRoom(wish, *stages);
      if (!with) continue;
      const int64_t then = EstimatePrompt(wish, *with, plan.context);
      if (!best || then < *best) best = then, moved = *std::move(with);
      break;
    }
  }
  if (best && *best < *as_it_is - *as_it_is / 8) *stages = std::move(moved);
}

bool IsWorthTheRoom(const Plan& plan, const std::vector<StageShape>& stages,
                    const std::vector<StageShape>& with_room) {
  const int64_t token = EstimateBatch(plan, stages).way;
  const int64_t more = EstimateVocabularyWay(with_room) - EstimateVocabularyWay(stages);
  const auto least = [&](const std::vector<StageShape>& s, int positions) {
    return LeastPrompt(plan, s, positions);
  };
  return more * 160 <= token &&
         least(with_room, kInboxPositions) * 8 < least(stages, kInboxPositions) * 7 &&
         least(with_room, kInboxPositions / 2) <= least(stages, kInboxPositions / 2);
}

}  // namespace lockstep
