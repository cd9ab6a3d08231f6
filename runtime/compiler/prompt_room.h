#pragma once
// Room for a prompt in what a stage's weights and cache leave: for a batch of positions on every
// stage, and on the first stage for an inbox (runtime/compiler/pipeline.h), in which the embeddings
// of a group of batches wait for their layers where several stages hold rows of the embedding.

#include <vector>

#include "absl/status/status.h"
#include "runtime/compiler/plan.h"
#include "runtime/compiler/stage.h"

namespace lockstep {

// Batches of an inbox for which room is made, or positions if these are more: more hardly bring
// them closer together.
inline constexpr int kInboxRows = 16, kInboxPositions = 64;

// Ok, or why a stage has no room for batches of plan.batch positions.
absl::Status BatchFits(const Plan& plan, const std::vector<StageShape>& stages);

// The largest batch of 16, 8, 4, 2 positions that fits on all stages; else 1.
int LargestBatch(const Plan& plan, const std::vector<StageShape>& stages);

// What is taken of a prompt of `positions` at once, of which `flight` follow each other (1: none do).
struct PromptSteps {
  int batch = 1;  // positions
  int inbox = 0;  // LargestInbox for these
};
// The largest batch that the prompt fills and that fits. In flight it divides that, and is the one
// with which a prompt that fills the context takes the least time (runtime/compiler/prompt_time.h):
// small ones are through the stages sooner, large ones take fewer cycles a position and need room.
// Of those within a 32nd of the least the smallest, which leaves less of a prompt to go token by
// token.
PromptSteps ChooseSteps(Plan plan, const std::vector<StageShape>& stages, int positions,
                        int flight);

// LargestInbox for a flight of so many positions, in batches of plan.batch.
int InboxOfFlight(const Plan& plan, const std::vector<StageShape>& stages, int flight);

// How many rows of the landing ring (runtime/compiler/landing.h) have room: one a word of a batch, so
// that none waits for another's sum, or half of it and so on; 0: the least.
int LargestLanding(Plan plan, const std::vector<StageShape>& stages);

// For how many batches of plan.batch positions the first stage has room: `most`, or twice that and
// so on up to 64 (areas do not always lie the better the smaller they are), else half of it and so
// on, at least 2; 0: not for 2, or the first stage alone holds rows of the embedding.
int LargestInbox(Plan plan, const std::vector<StageShape>& stages, int most);

// Moves rows of the embedding from the first stage to the others that have such rows, where these
// have room, so that an inbox for kInboxRows batches of plan.batch or kInboxPositions has room, or
// for half of it and so on; if plan.batch is 1, of those that fit and with which a prompt takes the
// least time. Only where that is an eighth less than it takes without: rows that lie elsewhere move
// weights, which can cost a token a few cycles. No stage gets its first row, or loses its last.
// Does nothing for several sequences, since these fill the pipeline anyway, and every token pays.
void MakeRoomForInbox(Plan plan, std::vector<StageShape>* stages);

// Whether stages that have room for batches, the vocabulary perhaps on more of them, are worth it
// where nobody asked: a prompt that fills the context takes an eighth less in groups of
// kInboxPositions, not more in groups of half as many, and a token's way through more stages is a
// 160th of its time at most.
bool IsWorthTheRoom(const Plan& plan, const std::vector<StageShape>& stages,
                    const std::vector<StageShape>& with_room);

}  // namespace lockstep
