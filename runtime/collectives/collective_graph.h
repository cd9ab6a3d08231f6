#pragma once
// The graphs of fabric collectives (runtime/collectives/fabric_collective.h): who moves and adds
// which word.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/topology.h"
#include "runtime/collectives/exchange.h"
#include "runtime/collectives/node_collective.h"
#include "runtime/collectives/reduction_tree.h"

namespace lockstep {

// How words and chips are numbered: chip c has role c % roles in turn c / roles; word w = (turn
// u, index j) = u * per_turn + j, and lies on a chip of turn t as word ((u - t) mod turns, j).
struct WordShape {
  int chips = 1;
  int roles = 1;     // = chips: no symmetry is used
  int per_turn = 1;  // words
  int turns() const { return chips / roles; }
  int words() const { return turns() * per_turn; }
  // Role of the chip of the word's own turn that sums it, or contributes it.
  int OwnerRole(int j) const { return static_cast<int>(int64_t{j} * roles / per_turn); }
  // The word's place among those of its owner.
  int OwnIndex(int j) const;
  // Where word w lies on `chip`, as a number of words.
  int PlaceOn(int chip, int word) const;
};

struct CollectiveGraph {
  Exchange exchange;
  std::vector<int32_t> west, east;  // ends of what is used, by role and hemisphere, in words
  int32_t west_gap = 0;             // unused words before the end in the west
  // The farthest end in a hemisphere; the most words that a role uses in both.
  int MostWords() const;
  int MostUsed() const;
};

// Reduction trees upwards (all-reduce, reduce-scatter), downwards (all-gather, broadcast), or both.
CollectiveGraph TreeGraph(CollectiveKind kind, const WordShape& shape, const ReductionTrees& trees,
                          const Roles& roles);
// All-reduce by exchange, level by level. REQUIRES: shape.roles == shape.chips.
CollectiveGraph ExchangeGraph(const WordShape& shape, const Topology& topology,
                              const ReductionTrees& trees, const Roles& roles);

// Words that ExchangeGraph would move.
int64_t ExchangeMoves(const WordShape& shape, const Topology& topology);

// Word `index` of a region that begins with column 0 of a hemisphere.
Quad WordAt(Hemisphere side, int index);

}  // namespace lockstep
