// Choice of shape and algorithm, and compilation (runtime/collectives/fabric_collective.h).
#include "runtime/collectives/fabric_collective.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/digest.h"
#include "fabric/hops.h"
#include "runtime/collectives/collective_graph.h"
#include "runtime/collectives/exchange.h"
#include "runtime/machine/machine.h"

namespace lockstep {
namespace {

constexpr int64_t kWordBytes = 4 * kVectorBytes;
// All of a hemisphere's words as quads.
constexpr int kHemisphereWords = kSlicesPerHemisphere / kSlicesPerColumn * kWordsPerSlice;
// Words below which chips do not share programs: there are not enough for all units.
constexpr int kFewWords = 8;
// An exchange is tried up to here only: each link carries every word of a unit.
constexpr int64_t kExchangeWords = 16, kExchangeMoves = 400'000;

Roles RolesOf(const Topology& topology, const LinkModel& links, int roles) {
  Roles out(roles);
  for (int r = 0; r < roles; ++r) {
    for (const Link& link : topology.outgoing(ChipId(r))) {
      out[r][link.from_port.value()] = {static_cast<int32_t>(link.to.value()) % roles,
                                        static_cast<int32_t>(link.to_port.value()),
                                        FlightCycles(topology, links, link.place)};
    }
  }
  return out;
}

// Chips that see different pictures, under the shift by that many chips; all for a torus.
int Views(const Topology& topology) {
  return topology.spec().node.local == LocalWiring::kTorus ? topology.num_chips()
                                                           : DistinctViews(topology);
}

int64_t WordsOf(int64_t bytes) { return (bytes + kWordBytes - 1) / kWordBytes; }

WordShape ShapeOf(CollectiveAlgorithm algorithm, CollectiveKind kind, int64_t bytes,
                  const Topology& topology) {
  const int chips = topology.num_chips();
  const int64_t words = WordsOf(bytes);
  const bool sharded = kind == CollectiveKind::kAllGather ||
                       kind == CollectiveKind::kReduceScatter || kind == CollectiveKind::kAllToAll;
  const bool whole = algorithm != CollectiveAlgorithm::kTrees ||
                     kind == CollectiveKind::kBroadcast || (!sharded && words <= kFewWords);
  const int roles = whole ? chips : Views(topology);
  const int64_t unit = sharded ? chips : chips / roles;  // the message is padded to a multiple
  const int64_t padded = (words + unit - 1) / unit * unit;
  return {chips, roles, static_cast<int>(padded / (chips / roles))};
}

// The one asked for, or those that may take the fewest cycles.
absl::StatusOr<std::vector<CollectiveAlgorithm>> AlgorithmsToTry(CollectiveKind kind,
                                                                 CollectiveAlgorithm asked,
                                                                 int64_t bytes,
                                                                 const Topology& topology) {
  std::vector<CollectiveAlgorithm> all = AlgorithmsOf(kind), tries;
  const int64_t words = WordsOf(bytes);
  for (const CollectiveAlgorithm a : all) {
    if (asked != CollectiveAlgorithm::kAuto && asked != a) continue;
    const bool hopeless =
        a == CollectiveAlgorithm::kExchange
            ? words > kExchangeWords ||
                  ExchangeMoves(ShapeOf(a, kind, bytes, topology), topology) > kExchangeMoves
            : a == CollectiveAlgorithm::kRelay && topology.num_chips() < 3;
    if (asked == a || !hopeless) tries.push_back(a);
  }
  if (asked == CollectiveAlgorithm::kRelay && topology.num_chips() < 2) tries.clear();
  if (!tries.empty()) return tries;
  return absl::InvalidArgumentError(absl::StrCat(Name(kind), " over ", topology.num_chips(),
                                                 " chips cannot be made by ", Name(asked)));
}

absl::Status CheckSize(int64_t bytes) {
  const int64_t words = WordsOf(bytes);
  if (bytes < 1 || words > kHemisphereWords) {
    return absl::InvalidArgumentError(absl::StrCat("a collective of ", bytes, " B: need 1..",
                                                   kHemisphereWords * kWordBytes, " B"));
  }
  return absl::OkStatus();
}

absl::Status CheckMoves(int64_t moves, const WordShape& shape) {
  const int64_t vectors = 4 * moves * shape.turns();
  if (moves <= kMaxMoves && vectors <= kMaxVectors) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("a collective of ", shape.words(), " words over ", shape.chips, " chips moves ",
                   moves, " words in ", shape.roles, " roles and ", vectors,
                   " vectors in all; at most ", kMaxMoves, " and ", kMaxVectors, " are scheduled"));
}

// Programs to schedules, equal ones to one.
absl::Status Dispatched(std::vector<Program> programs, const ChipTiming& timing,
                        FabricCollective* out) {
  std::map<uint64_t, std::vector<std::pair<Program, std::shared_ptr<const Schedule>>>> known;
  std::vector<std::shared_ptr<const Schedule>> by_role;
  for (size_t r = 0; r < programs.size(); ++r) {
    DispatchResult d = Dispatch(programs[r], timing, {.chip = static_cast<uint32_t>(r)});
    if (d.fault) return absl::InternalError(d.fault->ToString());
    auto& same = known[ScheduleHash(d.schedule)];
    const auto found = std::find_if(same.begin(), same.end(),
                                    [&](const auto& k) { return k.first == programs[r]; });
    if (found != same.end()) {
      by_role.push_back(found->second);
      continue;
    }
    by_role.push_back(std::make_shared<const Schedule>(std::move(d.schedule)));
    same.emplace_back(std::move(programs[r]), by_role.back());
    ++out->programs;
  }
  for (int c = 0; c < out->chips; ++c) out->schedules.push_back(by_role[c % out->roles]);
  return absl::OkStatus();
}

struct Compiled {
  FabricCollective collective;
  std::vector<Program> programs;
};

// What is asked for, and what it is made on.
struct Task {
  CollectiveKind kind;
  const Topology& topology;
  const ReductionTrees& trees;
  const LinkModel& links;
  const ChipTiming& timing;
};

int64_t MovesOf(const Task& task, CollectiveAlgorithm algorithm, const WordShape& shape) {
  switch (algorithm) {
    case CollectiveAlgorithm::kExchange: return ExchangeMoves(shape, task.topology);
    case CollectiveAlgorithm::kRoutes: return RouteMoves(task.kind, shape, task.trees, kMaxMoves);
    default: break;
  }
  const int ways = task.kind == CollectiveKind::kAllReduce ? 2 : 1;
  return int64_t{shape.roles} * shape.words() * ways;
}

CollectiveGraph GraphOf(const Task& task, CollectiveAlgorithm algorithm, const WordShape& shape,
                        const Roles& roles) {
  switch (algorithm) {
    case CollectiveAlgorithm::kExchange:
      return ExchangeGraph(shape, task.topology, task.trees, roles);
    case CollectiveAlgorithm::kRoutes:
      return RouteGraph(task.kind, shape, task.topology, task.trees, roles,
                        task.timing.link_ticks);
    default: break;
  }
  return TreeGraph(task.kind, shape, task.trees, roles,
                   algorithm == CollectiveAlgorithm::kRelay);
}

absl::StatusOr<Compiled> Compile(const Task& task, CollectiveAlgorithm algorithm,
                                 const WordShape& shape) {
  RETURN_IF_ERROR(CheckMoves(MovesOf(task, algorithm, shape), shape));
  const Roles roles = RolesOf(task.topology, task.links, shape.roles);
  const CollectiveGraph graph = GraphOf(task, algorithm, shape, roles);
  if (graph.MostWords() > kHemisphereWords) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a collective of ", shape.words() * kWordBytes, " B over ", shape.chips, " chips needs ",
        graph.MostWords(), " words of a hemisphere, which has ", kHemisphereWords));
  }
  Compiled out;
  FabricCollective& c = out.collective;
  c.kind = task.kind, c.algorithm = algorithm, c.chips = shape.chips, c.roles = shape.roles;
  c.words = shape.words(), c.shard = shape.words() / shape.chips;
  c.moves = graph.exchange.moves();
  c.sram_bytes = graph.MostUsed() * kWordBytes;
  Exchange::Result result = graph.exchange.Schedule(task.timing);
  c.cycles = result.cycles;
  out.programs = std::move(result.programs);
  return out;
}

}  // namespace

Quad FabricCollective::Input(int chip, int word) const {
  const WordShape shape{chips, roles, words / (chips / roles)};
  if (kind == CollectiveKind::kAllGather) return WordAt(Hemisphere::kWest, word);
  return WordAt(Hemisphere::kWest, shape.PlaceOn(chip, word));
}

Quad FabricCollective::Output(int chip, int word) const {
  const WordShape shape{chips, roles, words / (chips / roles)};
  if (kind == CollectiveKind::kReduceScatter) return WordAt(Hemisphere::kEast, word);
  return WordAt(Hemisphere::kEast, shape.PlaceOn(chip, word));
}

absl::StatusOr<FabricCollective> CompileFabricCollective(CollectiveKind kind, int64_t bytes,
                                                         const Topology& topology,
                                                         const LinkModel& links,
                                                         const ChipTiming& timing,
                                                         CollectiveAlgorithm algorithm) {
  RETURN_IF_ERROR(CheckSize(bytes));
  ASSIGN_OR_RETURN(const std::vector<CollectiveAlgorithm> tries,
                   AlgorithmsToTry(kind, algorithm, bytes, topology));
  ASSIGN_OR_RETURN(const ReductionTrees trees, ReductionTrees::Create(topology));
  const Task task{kind, topology, trees, links, timing};
  Compiled best;
  for (const CollectiveAlgorithm tried : tries) {
    ASSIGN_OR_RETURN(Compiled made, Compile(task, tried, ShapeOf(tried, kind, bytes, topology)));
    if (best.programs.empty() || made.collective.cycles < best.collective.cycles) {
      best = std::move(made);
    }
  }
  RETURN_IF_ERROR(Dispatched(std::move(best.programs), timing, &best.collective));
  return std::move(best.collective);
}

}  // namespace lockstep
