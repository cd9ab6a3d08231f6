#pragma once
// The graphs of fabric collectives (runtime/collectives/fabric_collective.h): who moves and adds
// which word.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/topology.h"
#include "runtime/collectives/collective_kind.h"
#include "runtime/collectives/exchange.h"
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

// Hands out words of a role's hemispheres, in order, beyond the message and its result.
class WordRegions {
 public:
  // `graph` outlives this; west, east: words of message and result.
  WordRegions(CollectiveGraph& graph, int roles, int west, int east);
  Quad Landing(int role);
  Quad Partial(int role);

 private:
  CollectiveGraph& graph_;
};

// Reduction trees upwards (all-reduce, reduce-scatter), downwards (all-gather, broadcast), or both.
// With `relay` chip 0 hands each word of a broadcast to another chip, whose tree spreads it: all
// links carry the message, and none carries more than one word of each chip 0 hands out.
// REQUIRES: relay only of a broadcast with shape.roles == shape.chips > 1.
CollectiveGraph TreeGraph(CollectiveKind kind, const WordShape& shape, const ReductionTrees& trees,
                          const Roles& roles, bool relay = false);
// All-reduce by exchange, level by level. REQUIRES: shape.roles == shape.chips.
CollectiveGraph ExchangeGraph(const WordShape& shape, const Topology& topology,
                              const ReductionTrees& trees, const Roles& roles);

// All-to-all and send/receive: each word along a route, of send/receive in a fully connected node also
// over third chips, as many as make the last word come earliest. REQUIRES: shape.roles == shape.chips.
CollectiveGraph RouteGraph(CollectiveKind kind, const WordShape& shape, const Topology& topology,
                           const ReductionTrees& trees, const Roles& roles, int64_t link_ticks);

// Words that ExchangeGraph would move; that RouteGraph would at most, or, where they are more than
// `most`, some number above it.
int64_t ExchangeMoves(const WordShape& shape, const Topology& topology);
int64_t RouteMoves(CollectiveKind kind, const WordShape& shape, const ReductionTrees& trees,
                   int64_t most);

// Word `index` of a region that begins with column 0 of a hemisphere.
Quad WordAt(Hemisphere side, int index);

}  // namespace lockstep
