// From rules to links. The rules are applied to a table of port ends (chip x port), which is then
// read off in order, so links come out sorted and any port used twice is noticed.
#include "fabric/topology.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/counted.h"

namespace lockstep {
namespace {

// The other end of each cabled port.
class PortTable {
 public:
  struct End {
    uint32_t chip = 0;
    uint8_t port = 0;
    Place place = Place::kNode;
    bool cabled = false;
  };

  explicit PortTable(int chips) : ends_(static_cast<size_t>(chips) * kPortsPerChip) {}

  const End& at(int chip, int port) const { return ends_[Index(chip, port)]; }

  void Join(int chip_a, int port_a, int chip_b, int port_b, Place place) {
    Put(chip_a, port_a, chip_b, port_b, place);
    Put(chip_b, port_b, chip_a, port_a, place);
  }

 private:
  static size_t Index(int chip, int port) {
    return static_cast<size_t>(chip) * kPortsPerChip + static_cast<size_t>(port);
  }

  void Put(int chip, int port, int to, int to_port, Place place) {
    End& end = ends_[Index(chip, port)];
    LOCKSTEP_CHECK(!end.cabled, "chip%d.port%d is cabled twice", chip, port);
    end = {static_cast<uint32_t>(to), static_cast<uint8_t>(to_port), place, true};
  }

  std::vector<End> ends_;
};

void WireFullNode(int first, int n, PortTable& table) {
  for (int i = 0; i < n; ++i) {
    for (int p = 0; p < n - 1; ++p) {
      const int peer = (i + p + 1) % n;
      if (i < peer) table.Join(first + i, p, first + peer, n - 2 - p, Place::kNode);
    }
  }
}

void WireTorusNode(int first, const NodeRule& node, PortTable& table) {
  const int cables = node.cables_per_neighbor;
  int stride = 1, port = 0;
  for (int dim : node.torus_dims) {
    const int back_port = dim == 2 ? port : port + cables;
    for (int i = 0; i < node.chips; ++i) {
      const int coordinate = i / stride % dim;
      const int peer = i + ((coordinate + 1) % dim - coordinate) * stride;
      if (dim == 2 && peer < i) continue;
      for (int c = 0; c < cables; ++c) {
        table.Join(first + i, port + c, first + peer, back_port + c, Place::kNode);
      }
    }
    stride *= dim;
    port = back_port + cables;
  }
}

// One level that joins every pair of `group.units` units of `unit_nodes` nodes, from chip `first`.
struct Level {
  const GroupRule& group;
  int unit_nodes;
  int node_chips;
  int base_port;  // of each chip
  Place place;
};

void WireGroup(int first, const Level& level, PortTable& table) {
  const int units = level.group.units, cables = level.group.cables_per_pair;
  const int unit_chips = level.unit_nodes * level.node_chips;
  const auto chip_of = [&](int unit, int i) {
    return first + unit * unit_chips + i % level.unit_nodes * level.node_chips +
           i / level.unit_nodes % level.node_chips;
  };
  const auto port_of = [&](int i) { return level.base_port + i / unit_chips; };
  for (int a = 0; a < units; ++a) {
    for (int b = a + 1; b < units; ++b) {
      for (int c = 0; c < cables; ++c) {
        const int i = (b - a - 1) * cables + c;
        const int j = (units - (b - a) - 1) * cables + c;
        table.Join(chip_of(a, i), port_of(i), chip_of(b, j), port_of(j), level.place);
      }
    }
  }
}

PortTable Wire(const TopologySpec& spec) {
  const int chips = spec.ChipCount(), node_chips = spec.node.chips;
  const int rack_nodes = spec.rack ? spec.rack->units : 1;
  const int rack_ports = spec.rack ? spec.rack->ports_per_chip : 0;
  PortTable table(chips);
  for (int first = 0; first < chips; first += node_chips) {
    if (spec.node.local == LocalWiring::kFullyConnected) WireFullNode(first, node_chips, table);
    if (spec.node.local == LocalWiring::kTorus) WireTorusNode(first, spec.node, table);
  }
  const int base_port = spec.chip.local_ports;
  if (spec.rack) {
    const Level level{*spec.rack, 1, node_chips, base_port, Place::kRack};
    for (int first = 0; first < chips; first += node_chips * rack_nodes) {
      WireGroup(first, level, table);
    }
  }
  if (spec.system) {
    WireGroup(0, {*spec.system, rack_nodes, node_chips, base_port + rack_ports, Place::kSystem},
              table);
  }
  return table;
}

CableKind KindAt(const TopologySpec& spec, Place place) {
  if (place == Place::kNode) return spec.node.cable.kind;
  return place == Place::kRack ? spec.rack->cable.kind : spec.system->cable.kind;
}

}  // namespace

std::string Link::ToString() const {
  return absl::StrCat(id.ToString(), " ", from.ToString(), ".", from_port.ToString(), " -> ",
                      to.ToString(), ".", to_port.ToString(), " (", PlaceName(place), ")");
}

absl::StatusOr<Topology> Topology::Create(TopologySpec spec) {
  RETURN_IF_ERROR(ValidateSpec(spec));
  return Topology(std::move(spec));
}

Topology::Topology(TopologySpec spec)
    : spec_(std::move(spec)),
      chips_per_node_(spec_.node.chips),
      chips_per_rack_(chips_per_node_ * (spec_.rack ? spec_.rack->units : 1)) {
  const int chips = spec_.first_chips.value_or(spec_.ChipCount());
  const int ports = spec_.chip.local_ports + spec_.chip.global_ports;
  const PortTable table = Wire(spec_);
  links_.reserve(static_cast<size_t>(chips) * static_cast<size_t>(ports));
  first_link_.reserve(static_cast<size_t>(chips) + 1);
  for (int chip = 0; chip < chips; ++chip) {
    first_link_.push_back(static_cast<uint32_t>(links_.size()));
    for (int port = 0; port < ports; ++port) {
      const PortTable::End& end = table.at(chip, port);
      if (!end.cabled || end.chip >= static_cast<uint32_t>(chips)) continue;
      links_.push_back({LinkId(links_.size()), ChipId(chip), PortId(port), ChipId(end.chip),
                        PortId(end.port), end.place, KindAt(spec_, end.place)});
    }
  }
  first_link_.push_back(static_cast<uint32_t>(links_.size()));
}

absl::StatusOr<Topology> Topology::Subset(int chips) const {
  if (chips < 1 || chips > num_chips()) {
    return absl::InvalidArgumentError(absl::StrCat("topology ", name(), " has ", num_chips(),
                                                   " chips; a subset of ", chips,
                                                   " was asked for"));
  }
  TopologySpec spec = spec_;
  spec.first_chips = chips == spec_.ChipCount() ? std::nullopt : std::optional<int>(chips);
  return Create(std::move(spec));
}

std::optional<RackId> Topology::rack_of(ChipId chip) const {
  if (!spec_.rack) return std::nullopt;
  return RackId(chip.value() / chips_per_rack_);
}

std::vector<ChipId> Topology::chips_of(NodeId node) const {
  std::vector<ChipId> chips;
  const int first = static_cast<int>(node.value()) * chips_per_node_;
  for (int c = first; c < std::min(first + chips_per_node_, num_chips()); ++c) {
    chips.push_back(ChipId(c));
  }
  return chips;
}

bool Topology::is_spare(ChipId chip) const {
  const auto spare = [](const GroupRule& group, int unit) {
    return unit % group.units >= group.units - group.spare_units;
  };
  const int c = static_cast<int>(chip.value());
  return (spec_.rack && spare(*spec_.rack, c / chips_per_node_)) ||
         (spec_.system && spare(*spec_.system, c / chips_per_rack_));
}

const Link& Topology::link(LinkId id) const {
  LOCKSTEP_CHECK(id.value() < links_.size(), "%s of %d links", id.ToString(), num_links());
  return links_[id.value()];
}

absl::Span<const Link> Topology::outgoing(ChipId chip) const {
  LOCKSTEP_CHECK(static_cast<int>(chip.value()) < num_chips(), "%s of %d chips", chip.ToString(),
                 num_chips());
  const uint32_t first = first_link_[chip.value()], end = first_link_[chip.value() + 1];
  return absl::MakeConstSpan(links_).subspan(first, end - first);
}

const Link* Topology::link_at(ChipId chip, PortId port) const {
  for (const Link& link : outgoing(chip)) {
    if (link.from_port == port) return &link;
  }
  return nullptr;
}

const Link* Topology::incoming(ChipId chip, PortId port) const {
  const Link* sent = link_at(chip, port);
  return sent == nullptr ? nullptr : &reverse(*sent);
}

const Link& Topology::reverse(const Link& link) const {
  const Link* other = link_at(link.to, link.to_port);
  LOCKSTEP_CHECK(other != nullptr && other->to == link.from && other->to_port == link.from_port,
                 "%s has no way back", link.ToString());
  return *other;
}

std::vector<LinkId> Topology::LinksBetween(ChipId from, ChipId to) const {
  std::vector<LinkId> ids;
  for (const Link& link : outgoing(from)) {
    if (link.to == to) ids.push_back(link.id);
  }
  return ids;
}

std::vector<ChipId> Topology::Neighbors(ChipId chip) const {
  std::vector<ChipId> chips;
  for (const Link& link : outgoing(chip)) chips.push_back(link.to);
  std::sort(chips.begin(), chips.end());
  chips.erase(std::unique(chips.begin(), chips.end()), chips.end());
  return chips;
}

std::string Topology::ToString() const {
  return absl::StrCat(spec_.ToString(), "; ", Counted(num_chips(), "chip"), ", ",
                      Counted(num_nodes(), "node"), ", ", Counted(num_racks(), "rack"), ", ",
                      Counted(num_links(), "link"));
}

}  // namespace lockstep
