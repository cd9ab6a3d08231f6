// Cycles and instructions of transfers between nodes (runtime/kernels/transfer.h).
#include "runtime/kernels/transfer.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"

namespace lockstep {
namespace {

constexpr int kWesternPorts = kC2cLinks / 2;
constexpr int64_t kBeforeAll = -(int64_t{1} << 40);
constexpr int kStream = 31;  // not one of the first, which chains take

int Latency(const ChipTiming& timing, Opcode op) { return timing.d_func[static_cast<int>(op)]; }

int StreamTo(int port) {
  const bool west = C2cPosition(port) == kSxmWest;
  return StreamNumber(west ? Direction::kWest : Direction::kEast, kStream);
}

// Cycles from when a vector is received until it can be read.
int StoreCycles(const ChipTiming& timing) {
  return Latency(timing, Opcode::kReceive) + timing.receive_turnaround;
}

// Cycles from when a third chip receives a vector until it sends it on.
int64_t RelayCycles(const ChipTiming& timing, int out_port, int wait) {
  const int slice = ColumnSlice(kRelayWord.side, kRelayWord.column, 0);
  return StoreCycles(timing) + wait + Latency(timing, Opcode::kRead) +
         Hops(SlicePosition(slice), C2cPosition(out_port));
}

// The port on whose queue all members hold what one of them sends at a port of that side.
int ShadowPort(int port) { return C2cPosition(port) == kSxmWest ? kWesternPorts - 1 : kC2cLinks - 1; }

// Reads a word so that it passes `port` in cycle `at`.
void ReadFor(Block& b, const ChipTiming& timing, int slice, int address, int port, int64_t at,
             bool shadow) {
  const int way = Hops(SlicePosition(slice), C2cPosition(port));
  b.At(MemQueue(slice), ops::Read(address, 0, StreamTo(port)),
       at - way - Latency(timing, Opcode::kRead), 1, 1, shadow);
}

std::vector<int> PortsOf(const Group& group) {
  std::vector<int> ports;
  for (int port : group.port) {
    if (port >= 0) ports.push_back(port);
  }
  return ports;
}

}  // namespace

NodeCable JoinCables(int from_member, int to_member, const std::vector<NodeLink>& links, int like,
                     const ChipTiming& timing) {
  LOCKSTEP_CHECK(!links.empty(), "%d cables", links.size());
  const int period = LinkPeriod(timing);
  NodeCable out{from_member, links.front().from_port, to_member, links.back().to_port, 0};
  int64_t arrives = period + links.front().flight_cycles;
  for (size_t i = 1; i < links.size(); ++i) {
    const int port = links[i].from_port;
    out.relays.push_back({links[i].from, links[i - 1].to_port, port, arrives, 1});
    arrives += RelayCycles(timing, port, 1) + period + links[i].flight_cycles;
  }
  if (like >= 0 && !out.relays.empty()) {
    const int more = static_cast<int>(((like + period - arrives) % period + period) % period);
    out.relays.back().wait += more, arrives += more;
  }
  out.flight_cycles = static_cast<int>(arrives - period);
  return out;
}

NodeRoute::Times NodeRoute::TimesOf(int share, int column_position,
                                    const ChipTiming& timing) const {
  const int period = LinkPeriod(timing);
  const int store = StoreCycles(timing);
  Times t;
  t.gateway = period + cables_[share].flight_cycles;
  t.forward =
      t.gateway + store + wait_ + Latency(timing, Opcode::kRead) + Hops(column_position, kSxmWest);
  t.spread = t.forward + period + local_flight_ + delay_;
  t.done = t.spread + store;
  return t;
}

// Whether, modulo the period, two dispatches of one slice or of one link of any member would meet.
// Share c's vectors are c cycles behind share 0's. What differs by column is the same for all
// shares.
bool NodeRoute::Clashes(const std::vector<Group>& to, const ChipTiming& timing) const {
  const int period = LinkPeriod(timing), shares = static_cast<int>(cables_.size());
  const int store = StoreCycles(timing);
  for (int column = 0; column < kColumns; ++column) {
    const int position = SlicePosition(ColumnSlice(Hemisphere::kWest, column, 0));
    for (int self = 0; self < static_cast<int>(to.size()); ++self) {
      std::vector<int> slice(period), link(period);
      const auto use = [period](std::vector<int>& of, int64_t cycle) {
        return of[cycle % period]++ > 0;
      };
      for (int c = 0; c < shares; ++c) {
        const Times t = TimesOf(c, position, timing);
        if (cables_[c].to_member != self) {
          if (use(slice, c + t.spread + store) || use(link, c + t.spread)) return true;
          continue;
        }
        if (use(slice, c + t.gateway + store) || use(slice, c + t.gateway + store + wait_) ||
            (to.size() > 1 && use(link, c + t.forward))) {
          return true;
        }
      }
    }
  }
  return false;
}

absl::StatusOr<NodeRoute> NodeRoute::Create(std::vector<NodeCable> cables,
                                            const std::vector<Group>& to,
                                            const ChipTiming& timing) {
  LOCKSTEP_CHECK(!cables.empty() && !to.empty(), "%d cables to %d chips", cables.size(), to.size());
  for (const Group& group : to) {
    for (int port : PortsOf(group)) {
      if (port < kWesternPorts) continue;
      return absl::UnimplementedError(absl::StrCat(
          "a transfer between nodes: port ", port, " leads to a chip of the node; ports 0..",
          kWesternPorts - 1, " are beside the western SXM"));
    }
  }
  NodeRoute route;
  const int period = LinkPeriod(timing);
  const auto first = std::find_if(cables.begin(), cables.end(),
                                  [](const NodeCable& c) { return !c.relays.empty(); });
  if (first == cables.end() && cables.size() > kSlicesPerColumn) cables.resize(kSlicesPerColumn);
  LOCKSTEP_CHECK(cables.size() <= kMostShares, "%d shares", cables.size());
  const bool all = cables.front().relays.empty() && first != cables.end();
  route.direct_ = static_cast<int>(all ? first - cables.begin() : cables.size());
  route.cables_ = std::move(cables);
  for (const NodeCable& cable : route.cables_) {
    for (const Relay& relay : cable.relays) route.relay_chips_.push_back(relay.chip);
    const int later = cable.flight_cycles - route.cables_.front().flight_cycles;
    if (all) route.later_ = std::max(route.later_, (later + period - 1) / period);
  }
  route.local_flight_ = to.front().flight_cycles;
  for (int sum = 1; sum < 2 * period; ++sum) {
    for (route.wait_ = 1; route.wait_ <= std::min(sum, period); ++route.wait_) {
      route.delay_ = sum - route.wait_;
      if (route.delay_ < period && !route.Clashes(to, timing)) return route;
    }
  }
  return absl::UnimplementedError(
      absl::StrCat("a transfer between nodes over ", route.cables_.size(),
                   " cables at once: a link period of ", period, " cycles has no free cycle left"));
}

int NodeRoute::PeriodsOf(int vectors) const {
  const int shares = static_cast<int>(cables_.size()), others = shares - direct_;
  return (vectors + others * later_ + shares - 1) / shares;
}

int NodeRoute::Gain(int words) const {
  const int vectors = kSlicesPerColumn * words;
  return (vectors + direct_ - 1) / direct_ - PeriodsOf(vectors);
}

NodeRoute::Turn NodeRoute::TurnOf(int index, int plane, int words, Pace pace,
                                  const ChipTiming& timing) const {
  const int64_t period = LinkPeriod(timing), before = int64_t{kSlicesPerColumn} * index;
  if (pace == Pace::kVectors) {
    // All shares for so many periods, then the direct ones.
    const int64_t all = static_cast<int64_t>(cables_.size());
    const int64_t rows = std::max(PeriodsOf(kSlicesPerColumn * words) - later_, 0);
    const bool last = all == direct_ || before + plane >= rows * all;
    const int64_t first = last && all != direct_ ? rows : 0;
    const int64_t vector = before + plane - first * all, shares = last ? direct_ : all;
    const int64_t share = vector % shares;
    return {static_cast<int>(share), (first + vector / shares) * period + share};
  }
  const int64_t share = plane % direct_;
  return {static_cast<int>(share), (before + plane / direct_) * period + share};
}

int64_t NodeRoute::Early(const ChipTiming& timing) {
  return int64_t{timing.receive_fifo} * LinkPeriod(timing) - 1;
}

// What members do of it differs; all of them hold what any of them does.
void NodeRoute::ReceiveVector(Block& b, const ChipTiming& timing, const Group& group, int slice,
                              int address, const Turn& turn) const {
  const auto [share, leaves] = turn;
  const NodeCable& cable = cables_[share];
  const bool gateway = cable.to_member == group.self;
  const Times t = TimesOf(share, SlicePosition(slice), timing);
  const Instruction receive = ops::Receive(slice, address, 0);
  b.At(C2cQueue(kC2cLinks - 1), receive, leaves + t.gateway, 1, 1, true);
  if (gateway) b.At(C2cQueue(cable.to_port), receive, leaves + t.gateway);
  if (group.size == 1) return;
  const std::vector<int> ports = PortsOf(group);
  ReadFor(b, timing, slice, address, ports.front(), leaves + t.forward, !gateway);
  for (int port : ports) {
    const bool from_gateway = !gateway && port == group.port[cable.to_member];
    b.At(C2cQueue(port), ops::Send(StreamTo(port)), leaves + t.forward, 1, 1, !gateway);
    b.At(C2cQueue(port), receive, leaves + t.spread, 1, 1, !from_gateway);
  }
}

NodeRoute::Moved NodeRoute::PlaceReceive(Placer& placer, const ChipTiming& timing,
                                         const Group& group, Quad target,
                                         const std::vector<int>& order, Pace pace) const {
  Block b("receive hidden");
  int64_t last = 0, forward = INT64_MAX, spread = INT64_MAX, forward_last = 0, spread_last = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    for (int plane = 0; plane < kSlicesPerColumn; ++plane) {
      const int slice = ColumnSlice(target.side, target.column, plane);
      const Turn turn =
          TurnOf(static_cast<int>(i), plane, static_cast<int>(order.size()), pace, timing);
      const Times t = TimesOf(turn.share, SlicePosition(slice), timing);
      const int64_t leaves = turn.leaves;
      ReceiveVector(b, timing, group, slice, target.address + order[i], turn);
      forward = std::min(forward, leaves + t.forward), spread = std::min(spread, leaves + t.spread);
      forward_last = std::max(forward_last, leaves + t.forward);
      spread_last = std::max(spread_last, leaves + t.spread);
      last = std::max(last, leaves + t.done);
    }
  }
  // Links carry vectors in order; what follows comes after all of these.
  const int period = LinkPeriod(timing);
  b.HoldFor(HoldIndex(Hold::kSends, Hemisphere::kWest), forward, forward_last + period - 1);
  b.HoldFor(HoldIndex(Hold::kReceives, Hemisphere::kWest), spread, spread_last);
  const int64_t from = placer.Place(b, kBeforeAll);
  return {from, from + last};
}

std::string NodeRoute::SendPicture(int self) const {
  std::string out = later_ > 0 ? absl::StrCat("send", direct_, "-", later_) : "send";
  for (const NodeCable& cable : cables_) {
    absl::StrAppend(&out, C2cPosition(cable.from_port) == kSxmWest ? " west" : " east");
    if (cable.from_member == self) absl::StrAppend(&out, ">", cable.from_port);
  }
  return out;
}

std::string NodeRoute::ReceivePicture(int self) const {
  std::string out = absl::StrCat("receive", wait_, "+", delay_);
  if (later_ > 0) absl::StrAppend(&out, " ", direct_, "-", later_);
  for (const NodeCable& cable : cables_) {
    absl::StrAppend(&out, " ", cable.to_member, cable.to_member == self ? "<" : "~",
                    cable.to_member == self ? cable.to_port : -1, "@", cable.flight_cycles);
  }
  return out;
}

NodeRoute::Relayed NodeRoute::RelayAt(int index) const {
  for (int share = 0; share < static_cast<int>(cables_.size()); ++share) {
    const std::vector<Relay>& relays = cables_[share].relays;
    if (index < static_cast<int>(relays.size())) return {share, relays[index]};
    index -= static_cast<int>(relays.size());
  }
  LOCKSTEP_FAIL("%d third chips too many", index + 1);
}

int64_t NodeRoute::RelayedFrom() const {
  int64_t first = INT64_MAX;
  for (const NodeCable& cable : cables_) {
    if (!cable.relays.empty()) first = std::min(first, cable.relays.front().arrives);
  }
  return first;
}

int64_t NodeRoute::RelayedFor(int words, Pace pace, const ChipTiming& timing) const {
  int64_t last = 0;
  for (int i = 0; i < words * kSlicesPerColumn; ++i) {
    const Turn turn = TurnOf(i / kSlicesPerColumn, i % kSlicesPerColumn, words, pace, timing);
    const std::vector<Relay>& relays = cables_[turn.share].relays;
    if (relays.empty()) continue;
    const int64_t stays = RelayCycles(timing, relays.back().out_port, relays.back().wait);
    last = std::max(last, turn.leaves + relays.back().arrives + stays - RelayedFrom());
  }
  return last;
}

// A slice takes every fourth vector, so that none is overwritten while it waits.
void NodeRoute::PlaceRelay(Placer& placer, const ChipTiming& timing, int index, Quad scratch,
                           int words, Pace pace) const {
  const Relayed mine = RelayAt(index);
  const int in_port = mine.relay.in_port, out_port = mine.relay.out_port;
  const int64_t stays = RelayCycles(timing, out_port, mine.relay.wait);
  LOCKSTEP_CHECK(scratch.side == kRelayWord.side && scratch.column == kRelayWord.column,
                 "column %d", scratch.column);
  Block b("relay hidden");
  int vectors = 0;
  for (int i = 0; i < words * kSlicesPerColumn; ++i) {
    const Turn turn = TurnOf(i / kSlicesPerColumn, i % kSlicesPerColumn, words, pace, timing);
    if (turn.share != mine.share) continue;
    const int slice = ColumnSlice(scratch.side, scratch.column, vectors++ % kSlicesPerColumn);
    const int64_t at = turn.leaves + mine.relay.arrives - RelayedFrom();
    b.At(C2cQueue(in_port), ops::Receive(slice, scratch.address, 0), at);
    ReadFor(b, timing, slice, scratch.address, out_port, at + stays, false);
    b.At(C2cQueue(out_port), ops::Send(StreamTo(out_port)), at + stays);
  }
  const int64_t start = placer.Place(b);
  LOCKSTEP_CHECK(start == 0, "a relay moved by %d cycles", start);
}

std::string NodeRoute::RelayPicture(int index) const {
  const Relayed r = RelayAt(index);
  return absl::StrCat("relay", r.share, "of", direct_, "+", cables_.size(), "-", later_, ":", r.relay.in_port, ">",
                      r.relay.out_port, "@", r.relay.arrives - RelayedFrom(), "+", r.relay.wait);
}

WordSender::WordSender(Placer& placer, const ChipTiming& timing, const NodeRoute& route, int self,
                       Quad source, std::vector<int> order, Pace pace, int64_t base)
    : placer_(placer),
      timing_(timing),
      route_(route),
      self_(self),
      source_(source),
      order_(std::move(order)),
      pace_(pace),
      base_(base),
      added_(1 + *std::max_element(order_.begin(), order_.end())) {}

void WordSender::Add(int word) {
  added_[word] = true;
  for (; sent_ < static_cast<int>(order_.size()) && added_[order_[sent_]]; ++sent_) {
    for (int plane = 0; plane < kSlicesPerColumn; ++plane) Send(sent_, plane);
  }
}

// Other members than the cable's hold the same cycles.
void WordSender::Send(int index, int plane) {
  const NodeRoute::Turn turn =
      route_.TurnOf(index, plane, static_cast<int>(order_.size()), pace_, timing_);
  const NodeCable& cable = route_.cables()[turn.share];
  const bool mine = cable.from_member == self_;
  const int slice = ColumnSlice(source_.side, source_.column, plane);
  Block b("send hidden");
  ReadFor(b, timing_, slice, source_.address + order_[index], cable.from_port, 0, !mine);
  const Instruction send = ops::Send(StreamTo(cable.from_port));
  b.At(C2cQueue(ShadowPort(cable.from_port)), send, 0, 1, 1, true);
  if (mine) b.At(C2cQueue(cable.from_port), send, 0);
  int64_t& free = free_[turn.share];
  const int64_t due = base_ + turn.leaves;
  // Nothing comes before the receiving program begins.
  const int64_t early = index == 0 ? 0 : NodeRoute::Early(timing_);
  const int64_t at = placer_.Place(b, std::max({free, due - early, base_}));
  free = at + LinkPeriod(timing_);
  late_ = std::max(late_, at - due);
}

NodeRoute::Moved WordSender::moved() const {
  const int words = static_cast<int>(order_.size());
  const NodeRoute::Turn last =
      route_.TurnOf(words - 1, kSlicesPerColumn - 1, words, pace_, timing_);
  return {base_, base_ + last.leaves};
}

}  // namespace lockstep
