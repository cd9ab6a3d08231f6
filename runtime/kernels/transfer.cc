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
constexpr int kStream = 0;

int Latency(const ChipTiming& timing, Opcode op) { return timing.d_func[static_cast<int>(op)]; }

Direction TowardsPort(int port) {
  return C2cPosition(port) == kSxmWest ? Direction::kWest : Direction::kEast;
}

int WordsOf(int share, int shares, int words) { return CeilDiv(words - share, shares); }

// The vectors of a share in the order in which they go: plane by plane, then word by word. Shares
// meet on queues in alternation, so every vector is an instruction of its own there.
template <typename Fn>
void ForEachVector(Quad words, int stride, int count, int64_t at, int period, const Fn& fn) {
  for (int j = 0; j < kSlicesPerColumn * count; ++j) {
    fn(ColumnSlice(words.side, words.column, j / count), words.address + j % count * stride,
       at + int64_t{j} * period);
  }
}

// Reads `count` words, every `stride`-th, so that they pass `ports` (all at one position) in cycles
// at, at + period, ..., and sends them there.
void ReadAndSend(Block& b, const ChipTiming& timing, Quad source, int stride, int count, int64_t at,
                 int period, const std::vector<int>& ports) {
  const int stream = StreamNumber(TowardsPort(ports.front()), kStream);
  ForEachVector(source, stride, count, at, period, [&](int slice, int address, int64_t pass) {
    const int way = Hops(SlicePosition(slice), C2cPosition(ports.front()));
    b.At(MemQueue(slice), ops::Read(address, 0, stream),
         pass - way - Latency(timing, Opcode::kRead));
    for (int port : ports) b.At(C2cQueue(port), ops::Send(stream), pass);
  });
}

void Receive(Block& b, Quad target, int stride, int count, int64_t at, int period, int port) {
  ForEachVector(target, stride, count, at, period, [&](int slice, int address, int64_t cycle) {
    b.At(C2cQueue(port), ops::Receive(slice, address, 0), cycle);
  });
}

std::vector<int> PortsOf(const Group& group) {
  std::vector<int> ports;
  for (int port : group.port) {
    if (port >= 0) ports.push_back(port);
  }
  return ports;
}

}  // namespace

NodeRoute::Times NodeRoute::TimesOf(int share, int column_position,
                                    const ChipTiming& timing) const {
  const int period = LinkPeriod(timing);
  const int store = Latency(timing, Opcode::kReceive) + timing.receive_turnaround;
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
  const int store = Latency(timing, Opcode::kReceive) + timing.receive_turnaround;
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
  route.cables_ = std::move(cables);
  route.local_flight_ = to.front().flight_cycles;
  const int period = LinkPeriod(timing);
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

NodeRoute::Moved NodeRoute::PlaceSend(Placer& placer, const ChipTiming& timing, int self,
                                      Quad source, int words) const {
  const int period = LinkPeriod(timing), shares = static_cast<int>(cables_.size());
  Block b("send hidden");
  int64_t last = 0;
  for (int c = 0; c < shares; ++c) {
    const int count = WordsOf(c, shares, words);
    if (count <= 0) continue;
    last = std::max<int64_t>(last, c + (int64_t{kSlicesPerColumn} * count - 1) * period);
    if (cables_[c].from_member != self) continue;
    ReadAndSend(b, timing, source + c, shares, count, c, period, {cables_[c].from_port});
  }
  const int64_t from = placer.PlaceApart(b, -Latency(timing, Opcode::kRead) - kPositions, last);
  return {from, from + last};
}

NodeRoute::Moved NodeRoute::PlaceReceive(Placer& placer, const ChipTiming& timing,
                                         const Group& group, Quad target, int words) const {
  const int period = LinkPeriod(timing), shares = static_cast<int>(cables_.size());
  const int position = SlicePosition(ColumnSlice(target.side, target.column, 0));
  Block b("receive hidden");
  int64_t first = INT64_MAX, last = 0;
  for (int c = 0; c < shares; ++c) {
    const int count = WordsOf(c, shares, words);
    if (count <= 0) continue;
    const Times t = TimesOf(c, position, timing);
    first = std::min(first, c + t.gateway);
    last = std::max(last, c + t.done + (int64_t{kSlicesPerColumn} * count - 1) * period);
    const NodeCable& cable = cables_[c];
    if (cable.to_member != group.self) {
      Receive(b, target + c, shares, count, c + t.spread, period, group.port[cable.to_member]);
      continue;
    }
    Receive(b, target + c, shares, count, c + t.gateway, period, cable.to_port);
    if (group.size > 1) {
      ReadAndSend(b, timing, target + c, shares, count, c + t.forward, period, PortsOf(group));
    }
  }
  const int64_t from = placer.PlaceApart(b, first, last);
  return {from, from + last};
}

std::string NodeRoute::SendPicture(int self) const {
  std::string out = absl::StrCat("send ", cables_.size());
  for (size_t c = 0; c < cables_.size(); ++c) {
    if (cables_[c].from_member == self) absl::StrAppend(&out, " ", c, ">", cables_[c].from_port);
  }
  return out;
}

std::string NodeRoute::ReceivePicture(int self) const {
  std::string out = absl::StrCat("receive", wait_, "+", delay_);
  for (const NodeCable& cable : cables_) {
    absl::StrAppend(&out, " ", cable.to_member, cable.to_member == self ? "<" : "~",
                    cable.to_member == self ? cable.to_port : -1, "@", cable.flight_cycles);
  }
  return out;
}

}  // namespace lockstep
