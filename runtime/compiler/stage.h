#pragma once
// A stage: the part of a model that one node holds. Stages stand in a pipeline; the hidden vector
// goes from each to the next. A node that holds the whole model is the pipeline of one stage.

#include "runtime/compiler/plan.h"

namespace lockstep {

struct StageShape {
  Range layers;     // of the model
  Range embedding;  // rows of the vocabulary whose embedding the stage holds; empty: none
  Range head;       // rows of the output head; empty: none

  bool operator==(const StageShape&) const = default;
};

// The whole model on one node.
inline StageShape WholeModel(const ModelConfig& model) {
  const Range vocabulary{0, model.vocab_size};
  return {{0, model.layers}, vocabulary, vocabulary};
}

}  // namespace lockstep
