#pragma once
// How long a prompt takes that goes through the stages in batches and groups of these, before
// anything is compiled: by this room is made for batches and groups, and one is chosen.
//
//   stage 0       e e e e           L L L L           e e e e ..       e: embedding of a batch
//   stage 1     e e e e               L L L L       e e e e   ..       L: its layers
//   a group:    |- embeddings, and the way back -|- layers -|- way through the stages with e -|
//
// A batch more of a group takes an embedding and a stage's layers; the way through the stages that
// hold rows of the embedding is gone once a group, so that the next can begin. Where one stage
// holds them all, batches follow at the pace of the slowest stage.

#include <cstdint>
#include <vector>

#include "runtime/compiler/plan.h"
#include "runtime/compiler/stage.h"

namespace lockstep {

// Cycles of what one step of a batch takes, estimated. Of layers: the bytes that stream, what waits
// for norms, attention and hops, and for each position more what products are fed with.
struct BatchTime {
  int64_t layers = 0;     // of the slowest stage, from one batch to the next
  int64_t embedding = 0;  // from one batch to the next
  int64_t way = 0;        // through all stages
  int64_t first_way = 0;  // through those that hold rows of the embedding, the last of them apart
  int64_t back = 0;       // the embedding's way back to stage 0; 0: one stage holds it
};
BatchTime EstimateBatch(const Plan& plan, const std::vector<StageShape>& stages);

// Cycles of a prompt of `positions`, in batches of plan.batch that follow each other in groups of
// plan.inbox (0 or 1: in none), until its last position is through the layers.
int64_t EstimatePrompt(const Plan& plan, const std::vector<StageShape>& stages, int positions);

// Cycles of a token on its way through the stages that hold rows of embedding and head, beyond what
// it takes where one holds them.
int64_t EstimateVocabularyWay(const std::vector<StageShape>& stages);

}  // namespace lockstep
