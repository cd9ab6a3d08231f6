#pragma once
// Parts of sums of a batch land in a ring of rows, so that a chip that is full needs room for a few
// words that are under way and not for all:
//
//   words in the order in which they travel   0 1 .. R-1 | R R+1 ..
//   row                                       0 1 .. R-1 | 0 1 ..
//
// One position has a row a word.

#include <algorithm>

#include "runtime/compiler/plan.h"
#include "runtime/kernels/norm.h"

namespace lockstep {

// A row holds a vector of each chip of the group; all together at least a hidden vector a position,
// which transfers between nodes bring there, too; more if the plan says so, since a word waits until
// the sum before it in its row is made.
inline int LandingRows(const Plan& plan) {
  const int words = plan.hidden_words();
  return std::max({words, CeilDiv(words * plan.batch, plan.chips), plan.landing});
}

// Of word `word` of position `position`; words travel from both ends inwards (InwardOrder),
// each of all positions.
inline int LandingRow(const Plan& plan, int batch, int position, int word) {
  const int order = InwardRank(word, plan.hidden_words()) * batch + position;
  return batch == 1 ? word : order % LandingRows(plan);
}

}  // namespace lockstep
