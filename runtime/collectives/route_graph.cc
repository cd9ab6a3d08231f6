// Words that go along routes, with no sums on the way: all-to-all and send/receive
// (runtime/collectives/collective_graph.h).
#include <algorithm>
#include <utility>
#include <vector>

#include "chip/check.h"
#include "fabric/routes.h"
#include "runtime/collectives/collective_graph.h"

namespace lockstep {
namespace {

using ValueId = Exchange::ValueId;
constexpr int64_t kPlanes = 4;  // vectors a word

class RouteBuilder {
 public:
  RouteBuilder(CollectiveKind kind, const WordShape& shape, const Topology& topology,
               const ReductionTrees& trees, const Roles& roles, int64_t link_ticks)
      : kind_(kind), shape_(shape), topology_(topology), trees_(trees), roles_(roles),
        word_cycles_(kPlanes * link_ticks / kTicksPerCycle), graph_{Exchange(roles), {}, {}, 0},
        regions_(graph_, shape.chips, shape.words(), shape.words()) {}

  CollectiveGraph Build() {
    if (kind_ == CollectiveKind::kAllToAll) {
      AllToAll();
    } else {
      SendRecv();
    }
    return std::move(graph_);
  }

 private:
  ValueId Input(int chip, int word) {
    return graph_.exchange.Input(chip, WordAt(Hemisphere::kWest, word));
  }

  // A chip meets another one at each distance, so that no two begin with the same one.
  void AllToAll() {
    const int n = shape_.chips, block = shape_.words() / n;
    for (int i = 0; i < block; ++i) {
      for (int distance = 0; distance < n; ++distance) {
        for (int from = 0; from < n; ++from) {
          const int to = (from + distance) % n;
          Carry(Input(from, to * block + i), to, from * block + i, static_cast<uint32_t>(i));
        }
      }
    }
  }

  void SendRecv() {
    const int n = shape_.chips;
    for (int from = 0; from < n; ++from) {
      const int to = (from + 1) % n;
      const std::vector<Path> ways = Detours(from, to);
      const int over_each = ways.empty() ? 0 : WordsOverEach(static_cast<int>(ways.size()), from);
      int word = 0;
      for (int i = 0; i < over_each; ++i) {
        for (const Path& way : ways) CarryOver(way, Input(from, word), to, word), ++word;
      }
      for (; word < shape_.words(); ++word) {
        Carry(Input(from, word), to, word, static_cast<uint32_t>(word));
      }
    }
  }

  // The ways over a third chip of one fully connected node.
  std::vector<Path> Detours(int from, int to) const {
    const bool joined = topology_.spec().node.local == LocalWiring::kFullyConnected;
    if (!joined || from == to ||
        trees_.UnitOf(ChipId(from), 0) != trees_.UnitOf(ChipId(to), 0)) {
      return {};
    }
    return TwoHopPaths(topology_, ChipId(from), ChipId(to));
  }

  // How many words each detour takes so that the last word comes earliest. All chips send at once, so
  // a link of a detour carries words of two chips, one after the other; the direct link has its own.
  int WordsOverEach(int ways, int from) const {
    int flight = 0;
    for (const RoleEnd& end : roles_[from]) flight = std::max(flight, end.flight_cycles);
    int best = 0;
    int64_t least = shape_.words() * word_cycles_;
    for (int each = 1; each * ways <= shape_.words(); ++each) {
      const int64_t direct = (shape_.words() - each * ways) * word_cycles_;
      const int64_t detour =
          std::max(2 * each * word_cycles_, flight + (each + 1) * word_cycles_);
      const int64_t time = std::max(direct, detour);
      if (time >= least) continue;
      least = time, best = each;
    }
    return best;
  }

  void Carry(ValueId value, int to, int word, uint32_t spread) {
    int at = graph_.exchange.role_of(value);
    if (at == to) graph_.exchange.Sum({&value, 1}, WordAt(Hemisphere::kEast, word));
    while (at != to) {
      const Link& link = trees_.Next(ChipId(at), ChipId(to), spread);
      at = static_cast<int>(link.to.value());
      value = Hop(link, value, to, word);
    }
  }
  void CarryOver(const Path& way, ValueId value, int to, int word) {
    for (const LinkId id : way) value = Hop(topology_.link(id), value, to, word);
  }
  ValueId Hop(const Link& link, ValueId value, int to, int word) {
    const int next = static_cast<int>(link.to.value());
    return graph_.exchange.Move(value, static_cast<int>(link.from_port.value()),
                                next == to ? WordAt(Hemisphere::kEast, word)
                                           : regions_.Landing(next));
  }

  const CollectiveKind kind_;
  const WordShape& shape_;
  const Topology& topology_;
  const ReductionTrees& trees_;
  const Roles& roles_;
  const int64_t word_cycles_;
  CollectiveGraph graph_;
  WordRegions regions_;
};

}  // namespace

CollectiveGraph RouteGraph(CollectiveKind kind, const WordShape& shape, const Topology& topology,
                           const ReductionTrees& trees, const Roles& roles, int64_t link_ticks) {
  LOCKSTEP_CHECK(shape.roles == shape.chips, "%d roles of %d chips", shape.roles, shape.chips);
  return RouteBuilder(kind, shape, topology, trees, roles, link_ticks).Build();
}

int64_t RouteMoves(CollectiveKind kind, const WordShape& shape, const ReductionTrees& trees,
                   int64_t most) {
  const auto hops = [&](int from, int to) {
    int64_t count = 0;
    for (int at = from; at != to; ++count) {
      at = static_cast<int>(trees.Next(ChipId(at), ChipId(to), 0).to.value());
    }
    return count;
  };
  const int n = shape.chips;
  int64_t moves = 0;
  if (kind == CollectiveKind::kSendRecv) {  // two over a third chip
    for (int from = 0; from < n; ++from) moves += std::max<int64_t>(2, hops(from, (from + 1) % n));
    return moves * shape.words();
  }
  const int64_t block = shape.words() / n;
  if (int64_t{n} * (n - 1) * block > most) return int64_t{n} * (n - 1) * block;
  for (int to = 0; to < n; ++to) {
    for (int from = 0; from < n; ++from) moves += hops(from, to) * block;
  }
  return moves;
}

}  // namespace lockstep
