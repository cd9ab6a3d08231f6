// Trees and exchanges as graphs (runtime/collectives/collective_graph.h).
#include "runtime/collectives/collective_graph.h"

#include <algorithm>
#include <utility>

#include "chip/check.h"

namespace lockstep {
namespace {

using ValueId = Exchange::ValueId;
constexpr ValueId kNoValue = -1;

// The trees of all words as one forest: vertex v = role * words + word stands for that word on the
// chip of turn 0 in that role.
class TreeBuilder {
 public:
  TreeBuilder(CollectiveKind kind, const WordShape& shape, const ReductionTrees& trees,
              const Roles& roles, bool relay)
      : kind_(kind),
        shape_(shape),
        trees_(trees),
        relay_(relay),
        graph_{Exchange(roles), {}, {}, 0},
        reduces_(kind == CollectiveKind::kAllReduce || kind == CollectiveKind::kReduceScatter),
        shard_(std::max(1, shape.per_turn / shape.roles)),
        regions_(graph_, shape.roles, kind == CollectiveKind::kAllGather ? shard_ : shape.words(),
                 kind == CollectiveKind::kReduceScatter ? shard_ : shape.words()) {}

  CollectiveGraph Build() {
    FindParents();
    Order();
    values_.assign(parent_.size(), kNoValue);
    if (reduces_) Upwards();
    for (int w = 0; relay_ && w < shape_.words(); ++w) HandOut(w);
    if (kind_ != CollectiveKind::kReduceScatter) Downwards();
    return std::move(graph_);
  }

 private:
  struct Parent {
    int32_t vertex = -1;  // -1: the root
    int8_t port = 0, back = 0;
  };

  int RelayOf(int word) const { return 1 + word % (shape_.chips - 1); }
  uint32_t Spread(int word) const {
    if (relay_) return static_cast<uint32_t>(word / (shape_.chips - 1));
    const int j = word % shape_.per_turn;
    return static_cast<uint32_t>(shape_.OwnerRole(j) + shape_.OwnIndex(j));
  }
  int Role(int32_t vertex) const { return vertex / shape_.words(); }
  int Word(int32_t vertex) const { return vertex % shape_.words(); }
  bool IsRoot(int32_t v) const { return parent_[v].vertex < 0; }

  void FindParents() {
    const int words = shape_.words(), turns = shape_.turns(), per_turn = shape_.per_turn;
    parent_.resize(static_cast<size_t>(shape_.roles) * words);
    for (int role = 0; role < shape_.roles; ++role) {
      for (int w = 0; w < words; ++w) {
        const int turn = w / per_turn, j = w % per_turn;
        const int owner = relay_                                 ? RelayOf(w)
                          : kind_ == CollectiveKind::kBroadcast ? 0
                                                                : turn * shape_.roles +
                                                                      shape_.OwnerRole(j);
        if (owner == role) continue;
        const Link& link = trees_.Next(ChipId(role), ChipId(owner), Spread(w));
        const int to = static_cast<int>(link.to.value());
        const int there = (turn - to / shape_.roles + turns) % turns * per_turn + j;
        parent_[static_cast<size_t>(role) * words + w] = {
            to % shape_.roles * words + there, static_cast<int8_t>(link.from_port.value()),
            static_cast<int8_t>(link.to_port.value())};
      }
    }
  }

  // Roots first, then level by level; children of a vertex in order of their numbers.
  void Order() {
    const int32_t n = static_cast<int32_t>(parent_.size());
    first_child_.assign(n + 1, 0);
    for (const Parent& p : parent_) {
      if (p.vertex >= 0) ++first_child_[p.vertex + 1];
    }
    for (int32_t v = 0; v < n; ++v) first_child_[v + 1] += first_child_[v];
    children_.resize(first_child_[n]);
    std::vector<int32_t> next(first_child_.begin(), first_child_.end() - 1);
    for (int32_t v = 0; v < n; ++v) {
      if (IsRoot(v))
        order_.push_back(v);
      else
        children_[next[parent_[v].vertex]++] = v;
    }
    for (size_t i = 0; i < order_.size(); ++i) {
      const int32_t v = order_[i];
      order_.insert(order_.end(), children_.begin() + first_child_[v],
                    children_.begin() + first_child_[v + 1]);
    }
    LOCKSTEP_CHECK(order_.size() == parent_.size(), "%d of %d words have no root",
                   parent_.size() - order_.size(), parent_.size());
  }

  // What a root, or a whole chip, keeps at the end.
  Quad Output(int32_t v) const {
    if (kind_ != CollectiveKind::kReduceScatter) return WordAt(Hemisphere::kEast, Word(v));
    return WordAt(Hemisphere::kEast, shape_.OwnIndex(Word(v) % shape_.per_turn));
  }
  ValueId Input(int32_t v) {
    const int index =
        kind_ == CollectiveKind::kAllGather ? shape_.OwnIndex(Word(v) % shape_.per_turn) : Word(v);
    return graph_.exchange.Input(Role(v), WordAt(Hemisphere::kWest, index));
  }

  // Every vertex adds what its children hand over to its own part.
  void Upwards() {
    for (size_t i = order_.size(); i-- > 0;) {
      const int32_t v = order_[i];
      std::vector<ValueId> parts = {Input(v)};
      for (int32_t c = first_child_[v]; c < first_child_[v + 1]; ++c) {
        const int32_t child = children_[c];
        parts.push_back(
            graph_.exchange.Move(values_[child], parent_[child].port, regions_.Landing(Role(v))));
      }
      const bool add = parts.size() > 1 || IsRoot(v);
      values_[v] =
          !add ? parts[0]
               : graph_.exchange.Sum(parts, IsRoot(v) ? Output(v) : regions_.Partial(Role(v)));
    }
  }

  // A word of chip 0 to the chip that spreads it, which keeps it.
  void HandOut(int word) {
    const int to = RelayOf(word);
    ValueId value = Input(word);
    for (int at = 0; at != to;) {
      const Link& link = trees_.Next(ChipId(at), ChipId(to), Spread(word));
      at = static_cast<int>(link.to.value());
      value = graph_.exchange.Move(value, static_cast<int>(link.from_port.value()),
                                   at == to ? WordAt(Hemisphere::kEast, word)
                                            : regions_.Landing(at));
    }
    values_[to * shape_.words() + word] = value;
  }

  void Downwards() {
    for (const int32_t v : order_) {
      if (relay_ && IsRoot(v)) continue;  // it has been handed out
      if (relay_ && Role(v) == 0) {
        values_[v] = Input(v);
        graph_.exchange.Sum({&values_[v], 1}, Output(v));
      } else if (!IsRoot(v)) {
        values_[v] = graph_.exchange.Move(values_[parent_[v].vertex], parent_[v].back, Output(v));
      } else if (!reduces_) {
        values_[v] = Input(v);
        graph_.exchange.Sum({&values_[v], 1}, Output(v));  // its own copy of the result
      }
    }
  }

  const CollectiveKind kind_;
  const WordShape& shape_;
  const ReductionTrees& trees_;
  const bool relay_;
  CollectiveGraph graph_;
  const bool reduces_;
  const int shard_;
  WordRegions regions_;
  std::vector<Parent> parent_;
  std::vector<int32_t> first_child_, children_, order_;
  std::vector<ValueId> values_;
};

// Levels of an exchange: units of chips within groups.
struct ExchangeLevel {
  int unit, group;  // chips
  int cable_level;  // of ReductionTrees; -1: inside a node
};

std::vector<ExchangeLevel> LevelsOf(const Topology& topology) {
  const int node = topology.chips_per_node(), all = topology.num_chips();
  const bool racks = topology.spec().rack.has_value();
  const int rack = racks ? node * topology.spec().rack->units : node;
  std::vector<ExchangeLevel> levels;
  levels.push_back({1, node, -1});
  if (racks) levels.push_back({node, rack, 0});
  if (all > rack) levels.push_back({rack, all, 1});
  return levels;
}

class ExchangeBuilder {
 public:
  ExchangeBuilder(const WordShape& shape, const Topology& topology, const ReductionTrees& trees,
                  const Roles& roles)
      : shape_(shape),
        topology_(topology),
        trees_(trees),
        graph_{Exchange(roles), {}, {}, 0},
        regions_(graph_, shape.chips, shape.words(), shape.words()) {}

  CollectiveGraph Build() {
    const std::vector<ExchangeLevel> levels = LevelsOf(topology_);
    for (int w = 0; w < shape_.words(); ++w) {
      std::vector<ValueId> sums;  // by chip, of its unit
      for (int c = 0; c < shape_.chips; ++c) {
        sums.push_back(graph_.exchange.Input(c, WordAt(Hemisphere::kWest, w)));
      }
      for (size_t l = 0; l < levels.size(); ++l) {
        sums = Level(levels[l], w, sums, l + 1 == levels.size());
      }
    }
    return std::move(graph_);
  }

 private:
  // Sums of units to sums of groups: every chip adds the units' sums in their order.
  std::vector<ValueId> Level(const ExchangeLevel& level, int w, const std::vector<ValueId>& sums,
                             bool last) {
    std::vector<std::vector<ValueId>> parts(shape_.chips);
    for (int group = 0; group < shape_.chips; group += level.group) {
      const int end = std::min(shape_.chips, group + level.group);
      for (int unit = group; unit < end; unit += level.unit) {
        for (int other = group; other < end; other += level.unit) {
          Tell(level, w, unit, other, std::min(end, other + level.unit), sums, parts);
        }
      }
    }
    std::vector<ValueId> out;
    for (int c = 0; c < shape_.chips; ++c) {
      out.push_back(
          graph_.exchange.Sum(parts[c], last ? WordAt(Hemisphere::kEast, w) : regions_.Partial(c)));
    }
    return out;
  }

  // The sum of the unit that begins with chip `unit` to all chips of [first, end).
  void Tell(const ExchangeLevel& level, int w, int unit, int first, int end,
            const std::vector<ValueId>& sums, std::vector<std::vector<ValueId>>& parts) {
    if (first == unit) {
      for (int c = first; c < end; ++c) parts[c].push_back(sums[c]);
    } else if (level.cable_level < 0) {
      // From chip to chip of a node: what passes through a torus passes through its chips.
      parts[first].push_back(Forward(first, unit, w, sums[unit]));
    } else {
      const auto cables =
          trees_.Cables(level.cable_level, trees_.UnitOf(ChipId(unit), level.cable_level),
                        trees_.UnitOf(ChipId(first), level.cable_level));
      const Link& cable = topology_.link(LinkId(cables[w % cables.size()]));
      const ValueId landed = Hop(cable, sums[cable.from.value()]);
      Spread(static_cast<int>(cable.to.value()), first, end, w, landed, parts);
    }
  }

  ValueId Hop(const Link& link, ValueId value) {
    return graph_.exchange.Move(value, static_cast<int>(link.from_port.value()),
                                regions_.Landing(static_cast<int>(link.to.value())));
  }

  // Down the tree of `root`, which has `landed`, to all chips of its unit.
  void Spread(int root, int first, int end, int w, ValueId landed,
              std::vector<std::vector<ValueId>>& parts) {
    std::vector<ValueId> have(end - first, kNoValue);
    have[root - first] = landed;
    for (int c = first; c < end; ++c) {
      std::vector<const Link*> way;  // from c up to where the value is
      for (int at = c; have[at - first] == kNoValue;
           at = static_cast<int>(way.back()->to.value())) {
        way.push_back(&trees_.Next(ChipId(at), ChipId(root), static_cast<uint32_t>(w)));
      }
      while (!way.empty()) {
        const Link& down = topology_.reverse(*way.back());
        way.pop_back();
        have[down.to.value() - first] = Hop(down, have[down.from.value() - first]);
      }
      parts[c].push_back(have[c - first]);
    }
  }

  // One word along the way from chip `from` to chip `to` of a node.
  ValueId Forward(int to, int from, int w, ValueId value) {
    for (int at = from; at != to;) {
      const Link& link = trees_.Next(ChipId(at), ChipId(to), static_cast<uint32_t>(w));
      value = Hop(link, value);
      at = static_cast<int>(link.to.value());
    }
    return value;
  }

  const WordShape& shape_;
  const Topology& topology_;
  const ReductionTrees& trees_;
  CollectiveGraph graph_;
  WordRegions regions_;
};

}  // namespace

int WordShape::OwnIndex(int j) const {
  // The first word of the owner is the least i with i * roles / per_turn == OwnerRole(j).
  const int64_t owner = OwnerRole(j);
  const int64_t first = (owner * per_turn + roles - 1) / roles;
  return j - static_cast<int>(first);
}

int WordShape::PlaceOn(int chip, int word) const {
  const int turn = word / per_turn - chip / roles;
  return (turn + turns()) % turns() * per_turn + word % per_turn;
}

int CollectiveGraph::MostWords() const {
  int most = 0;
  for (int32_t words : west) most = std::max(most, words);
  for (int32_t words : east) most = std::max(most, words);
  return most;
}

int CollectiveGraph::MostUsed() const {
  int most = 0;
  for (size_t r = 0; r < west.size(); ++r) most = std::max(most, west[r] - west_gap + east[r]);
  return most;
}

WordRegions::WordRegions(CollectiveGraph& graph, int roles, int west, int east) : graph_(graph) {
  // Received words begin in a column of their own: fewer meet the message in one bank.
  const int landing = CeilDiv(west, kWordsPerSlice) * kWordsPerSlice;
  graph_.west_gap = landing - west;
  graph_.west.assign(roles, landing);
  graph_.east.assign(roles, east);
}

Quad WordRegions::Landing(int role) { return WordAt(Hemisphere::kWest, graph_.west[role]++); }
Quad WordRegions::Partial(int role) { return WordAt(Hemisphere::kEast, graph_.east[role]++); }

CollectiveGraph TreeGraph(CollectiveKind kind, const WordShape& shape, const ReductionTrees& trees,
                          const Roles& roles, bool relay) {
  return TreeBuilder(kind, shape, trees, roles, relay).Build();
}

CollectiveGraph ExchangeGraph(const WordShape& shape, const Topology& topology,
                              const ReductionTrees& trees, const Roles& roles) {
  LOCKSTEP_CHECK(shape.roles == shape.chips, "%d roles of %d chips", shape.roles, shape.chips);
  return ExchangeBuilder(shape, topology, trees, roles).Build();
}

int64_t ExchangeMoves(const WordShape& shape, const Topology& topology) {
  int64_t units = 0;
  for (const ExchangeLevel& level : LevelsOf(topology)) {
    units += (std::min(level.group, shape.chips) - 1) / level.unit;
  }
  return units * shape.chips * shape.words();
}

Quad WordAt(Hemisphere side, int index) {
  return {side, index / kWordsPerSlice, index % kWordsPerSlice};
}

}  // namespace lockstep
