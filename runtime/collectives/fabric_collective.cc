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
// An exchange is tried only where it moves this little; it pays for few words only.
constexpr int64_t kExchangeMoves = 400'000;

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

WordShape ShapeOf(CollectiveKind kind, int64_t words, const Topology& topology) {
  const int chips = topology.num_chips();
  const bool sharded = kind == CollectiveKind::kAllGather || kind == CollectiveKind::kReduceScatter;
  const bool one_owner = kind == CollectiveKind::kBroadcast;
  const int roles = one_owner || (!sharded && words <= kFewWords) ? chips : Views(topology);
  const int64_t unit = sharded ? chips : chips / roles;  // the message is padded to a multiple
  const int64_t padded = (words + unit - 1) / unit * unit;
  return {chips, roles, static_cast<int>(padded / (chips / roles))};
}

bool IsOneNode(const Topology& topology) {
  return topology.num_nodes() == 1 && topology.spec().node.local == LocalWiring::kFullyConnected;
}

absl::Status CheckSize(CollectiveKind kind, int64_t bytes, const Topology& topology) {
  const int64_t words = (bytes + kWordBytes - 1) / kWordBytes;
  if (bytes < 1 || words > kHemisphereWords) {
    return absl::InvalidArgumentError(absl::StrCat("a collective of ", bytes, " B: need 1..",
                                                   kHemisphereWords * kWordBytes, " B"));
  }
  if (kind == CollectiveKind::kAllToAll) {
    return absl::UnimplementedError(absl::StrCat("all-to-all over ", topology.name(),
                                                 ": it is there for the chips of one node only"));
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

// The same program text on all chips but for links and addresses, each compiled by itself.
absl::StatusOr<FabricCollective> CompileForNode(CollectiveKind kind, int64_t bytes,
                                                const Topology& topology, const LinkModel& links,
                                                const ChipTiming& timing) {
  FabricCollective out;
  const int n = topology.num_chips();
  out.kind = kind, out.algorithm = CollectiveAlgorithm::kNode, out.chips = out.roles = n;
  const int store = timing.d_func[static_cast<int>(Opcode::kReceive)] + timing.receive_turnaround;
  for (int self = 0; self < n; ++self) {
    Group group{n, self, std::vector<int>(n, -1),
                n > 1 ? FlightCycles(topology, links, Place::kNode) : 0};
    for (const Link& link : topology.outgoing(ChipId(self))) {
      group.port[link.to.value()] = static_cast<int>(link.from_port.value());
    }
    ASSIGN_OR_RETURN(const CollectiveProgram made, CompileCollective(kind, bytes, group, timing));
    DispatchResult d = Dispatch(made.program, timing, {.chip = static_cast<uint32_t>(self)});
    if (d.fault) return absl::InternalError(d.fault->ToString());
    out.words = made.words, out.shard = made.shard, out.sram_bytes = made.sram_bytes;
    out.cycles = std::max(out.cycles, d.schedule.end);
    for (const Run& run : d.schedule.runs) {
      if (run.instr.op != Opcode::kReceive) continue;
      out.cycles = std::max(out.cycles, run.last() + store + 1);
    }
    out.schedules.push_back(std::make_shared<const Schedule>(std::move(d.schedule)));
  }
  out.programs = n;
  return out;
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

absl::StatusOr<Compiled> Compile(CollectiveKind kind, CollectiveAlgorithm algorithm,
                                 const WordShape& shape, const Topology& topology,
                                 const ReductionTrees& trees, const LinkModel& links,
                                 const ChipTiming& timing) {
  const bool both = kind == CollectiveKind::kAllReduce;
  const bool exchanges = algorithm == CollectiveAlgorithm::kExchange;
  RETURN_IF_ERROR(CheckMoves(exchanges ? ExchangeMoves(shape, topology)
                                       : int64_t{shape.roles} * shape.words() * (both ? 2 : 1),
                             shape));
  const Roles roles = RolesOf(topology, links, shape.roles);
  const CollectiveGraph graph = exchanges ? ExchangeGraph(shape, topology, trees, roles)
                                          : TreeGraph(kind, shape, trees, roles);
  if (graph.MostWords() > kHemisphereWords) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a collective of ", shape.words() * kWordBytes, " B over ", shape.chips, " chips needs ",
        graph.MostWords(), " words of a hemisphere, which has ", kHemisphereWords));
  }
  Compiled out;
  FabricCollective& c = out.collective;
  c.kind = kind, c.algorithm = algorithm, c.chips = shape.chips, c.roles = shape.roles;
  c.words = shape.words(), c.shard = shape.words() / shape.chips;
  c.moves = graph.exchange.moves();
  c.sram_bytes = graph.MostUsed() * kWordBytes;
  Exchange::Result result = graph.exchange.Schedule(timing);
  c.cycles = result.cycles;
  out.programs = std::move(result.programs);
  return out;
}

}  // namespace

Quad FabricCollective::Input(int chip, int word) const {
  if (algorithm == CollectiveAlgorithm::kNode) return CollectiveInput(word);
  const WordShape shape{chips, roles, words / (chips / roles)};
  if (kind == CollectiveKind::kAllGather) return WordAt(Hemisphere::kWest, word);
  return WordAt(Hemisphere::kWest, shape.PlaceOn(chip, word));
}

Quad FabricCollective::Output(int chip, int word) const {
  if (algorithm == CollectiveAlgorithm::kNode) return CollectiveOutput(word);
  const WordShape shape{chips, roles, words / (chips / roles)};
  if (kind == CollectiveKind::kReduceScatter) return WordAt(Hemisphere::kEast, word);
  return WordAt(Hemisphere::kEast, shape.PlaceOn(chip, word));
}

absl::StatusOr<FabricCollective> CompileFabricCollective(CollectiveKind kind, int64_t bytes,
                                                         const Topology& topology,
                                                         const LinkModel& links,
                                                         const ChipTiming& timing,
                                                         CollectiveAlgorithm algorithm) {
  using Algorithm = CollectiveAlgorithm;
  if (algorithm == Algorithm::kNode && !IsOneNode(topology)) {
    return absl::InvalidArgumentError(
        absl::StrCat(topology.name(), " is not one fully connected node"));
  }
  if (algorithm == Algorithm::kNode || (algorithm == Algorithm::kAuto && IsOneNode(topology))) {
    return CompileForNode(kind, bytes, topology, links, timing);
  }
  RETURN_IF_ERROR(CheckSize(kind, bytes, topology));
  const bool all_reduce = kind == CollectiveKind::kAllReduce;
  if (algorithm == Algorithm::kExchange && !all_reduce) {
    return absl::InvalidArgumentError("only an all-reduce can be made by exchange");
  }
  ASSIGN_OR_RETURN(const ReductionTrees trees, ReductionTrees::Create(topology));
  const int64_t words = (bytes + kWordBytes - 1) / kWordBytes;
  const WordShape shape = ShapeOf(kind, words, topology);
  const WordShape whole{shape.chips, shape.chips, static_cast<int>(words)};
  std::vector<std::pair<Algorithm, WordShape>> tries;
  if (algorithm != Algorithm::kExchange) {
    tries.emplace_back(Algorithm::kTrees, shape);
  }
  const bool few = all_reduce && ExchangeMoves(whole, topology) <= kExchangeMoves;
  if (algorithm == Algorithm::kExchange || (algorithm == Algorithm::kAuto && few)) {
    tries.emplace_back(Algorithm::kExchange, whole);
  }
  Compiled best;
  for (const auto& [tried, with] : tries) {
    ASSIGN_OR_RETURN(Compiled made, Compile(kind, tried, with, topology, trees, links, timing));
    if (best.programs.empty() || made.collective.cycles < best.collective.cycles) {
      best = std::move(made);
    }
  }
  RETURN_IF_ERROR(Dispatched(std::move(best.programs), timing, &best.collective));
  return std::move(best.collective);
}

}  // namespace lockstep
