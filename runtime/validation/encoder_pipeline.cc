// Chains and their launches (runtime/validation/encoder_pipeline.h).
#include "runtime/validation/encoder_pipeline.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/collectives/exchange.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/verify.h"
#include "runtime/validation/validate_testbed.h"

namespace lockstep {
namespace {

using Shared = std::shared_ptr<const Schedule>;

// The first cable from a chip of `from`, but not from where the chain enters, to a chip of `to`.
absl::StatusOr<std::pair<ChipId, ChipId>> CableOnwards(const Topology& topology,
                                                       std::optional<ChipId> entry,
                                                       const std::vector<ChipId>& from,
                                                       const std::vector<ChipId>& to) {
  for (const ChipId a : from) {
    if (a == entry && from.size() > 1) continue;
    for (const ChipId b : to) {
      if (!topology.LinksBetween(a, b).empty()) return std::make_pair(a, b);
    }
  }
  return absl::FailedPreconditionError(
      absl::StrCat("no cable joins ", from.front().ToString(), "'s node to ",
                   to.front().ToString(), "'s but at the chip where the chain enters it"));
}

// x from one chip to the next, whatever chips they are.
class Transfers {
 public:
  Transfers(const EncoderShape& shape, const EncoderMap& map, const Topology& topology,
            const LinkModel& links, const ChipTiming& timing)
      : vectors_(shape.positions * shape.words()), map_(map), topology_(topology), links_(links),
        timing_(timing) {}

  struct Pair {
    Shared send, receive;
    int64_t cycles;
  };
  absl::StatusOr<Pair> Between(ChipId from, ChipId to) {
    const std::vector<LinkId> found = topology_.LinksBetween(from, to);
    if (found.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("no link from ", from.ToString(), " to ", to.ToString()));
    }
    const Link& link = topology_.link(found.front());
    const int out = static_cast<int>(link.from_port.value());
    const int in = static_cast<int>(link.to_port.value());
    const int32_t flight = FlightCycles(topology_, links_, link.place);
    const auto known = made_.find({out, in, flight});
    if (known != made_.end()) return known->second;
    Roles roles(2);
    roles[0][out] = {1, in, flight};
    Exchange exchange(roles);
    for (int i = 0; i < vectors_; ++i) exchange.Move(exchange.Input(0, map_.x + i), out, map_.x + i);
    const Exchange::Result result = exchange.Schedule(timing_);
    ASSIGN_OR_RETURN(Shared send, ScheduleOf(result.programs[0], timing_));
    ASSIGN_OR_RETURN(Shared receive, ScheduleOf(result.programs[1], timing_));
    return made_[{out, in, flight}] = {std::move(send), std::move(receive), result.cycles};
  }

 private:
  const int vectors_;
  const EncoderMap& map_;
  const Topology& topology_;
  const LinkModel& links_;
  const ChipTiming& timing_;
  std::map<std::tuple<int, int, int32_t>, Pair> made_;
};

}  // namespace

absl::StatusOr<std::vector<ChipId>> ChainOfChips(const Topology& topology, int count) {
  if (count < 1 || count > topology.num_chips()) {
    return absl::InvalidArgumentError(absl::StrCat("a chain of ", count, " chips of ",
                                                   topology.name(), ", which has ",
                                                   topology.num_chips()));
  }
  std::vector<std::vector<ChipId>> nodes;
  for (int chip = 0; chip < count; ++chip) {
    const ChipId id(static_cast<uint32_t>(chip));
    if (nodes.empty() || topology.node_of(id) != topology.node_of(nodes.back().front())) {
      nodes.emplace_back();
    }
    nodes.back().push_back(id);
  }
  for (size_t n = 0; n + 1 < nodes.size(); ++n) {
    const std::optional<ChipId> entry =
        n == 0 ? std::nullopt : std::optional(nodes[n].front());
    ASSIGN_OR_RETURN(const auto cable, CableOnwards(topology, entry, nodes[n], nodes[n + 1]));
    std::iter_swap(std::find(nodes[n].begin(), nodes[n].end(), cable.first), nodes[n].end() - 1);
    std::iter_swap(std::find(nodes[n + 1].begin(), nodes[n + 1].end(), cable.second),
                   nodes[n + 1].begin());
  }
  std::vector<ChipId> chain;
  for (const auto& node : nodes) chain.insert(chain.end(), node.begin(), node.end());
  return chain;
}

absl::StatusOr<EncoderChip> CompileEncoderChip(const EncoderShape& shape, int layers,
                                               const ChipTiming& timing) {
  RETURN_IF_ERROR(shape.Check());
  EncoderChip chip{shape, EncoderMap(shape, layers), nullptr};
  RETURN_IF_ERROR(chip.map.fits());
  Placer placer(timing);
  PlaceEncoderInput(placer, timing, shape, chip.map);
  for (const EncoderLayer& layer : chip.map.layers) {
    PlaceEncoderLayer(placer, timing, shape, chip.map, layer);
  }
  ASSIGN_OR_RETURN(chip.layers, ScheduleOf(placer.Finish(), timing));
  return chip;
}

absl::StatusOr<EncoderPipeline> PipelineOf(const EncoderChip& chip, int inferences,
                                           const Topology& topology,
                                           const std::vector<ChipId>& chain, const LinkModel& links,
                                           const ChipTiming& timing) {
  Transfers transfers(chip.shape, chip.map, topology, links, timing);
  std::vector<Transfers::Pair> hops;
  EncoderPipeline out;
  for (size_t i = 0; i + 1 < chain.size(); ++i) {
    ASSIGN_OR_RETURN(Transfers::Pair hop, transfers.Between(chain[i], chain[i + 1]));
    out.transfer_cycles = std::max(out.transfer_cycles, hop.cycles);
    hops.push_back(std::move(hop));
  }
  const int64_t drain = DrainCycles(timing), chips = static_cast<int64_t>(chain.size());
  out.layer_cycles = chip.layers->end;
  const int64_t busy = chip.layers->end + drain, moved = hops.empty() ? 0 : out.transfer_cycles + drain;
  out.latency = chips * busy + (chips - 1) * moved;
  out.interval = busy + std::min<int64_t>(chips - 1, 2) * moved;
  out.launches.resize(topology.num_chips());
  for (int r = 0; r < inferences; ++r) {
    for (int64_t i = 0; i < chips; ++i) {
      const int64_t start = r * out.interval + i * (busy + moved);
      Launches& mine = out.launches[chain[i].value()];
      if (i > 0) mine.push_back({hops[i - 1].receive, start - moved});
      mine.push_back({chip.layers, start});
      if (i + 1 < chips) mine.push_back({hops[i].send, start + busy});
    }
  }
  return out;
}

}  // namespace lockstep
