// Emission of collectives (runtime/kernels/collective.h).
#include "runtime/kernels/collective.h"

#include <algorithm>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/chain.h"
#include "runtime/kernels/kernels.h"

namespace lockstep {
namespace {
constexpr int kLocalPorts = 8;
// Westward, as links 0..7 stand beside the western SXM. Not one of the first, which chains take.
constexpr int kSendStream = 31;

// How many of the group's ports come before `port`. Receives are staggered by it and not by the
// port itself: in a part of a node members use different ports, and still take the same cycles.
int PortOrder(const Group& group, int port) {
  int before = 0;
  for (int p : group.port) before += p >= 0 && p < port;
  return before;
}
}  // namespace

int LinkPeriod(const ChipTiming& timing) {
  return CeilDiv(timing.link_ticks, static_cast<int>(kTicksPerCycle));
}

// How long receives wait beyond the arrival, so that none shares a cycle with a send (both are the
// link's one queue) or with the member's own vectors entering the landing slices. At least `least`.
int Collectives::ReceiveOffset(int period, int own_hops, int least) const {
  const int store = timing.d_func[static_cast<int>(Opcode::kReceive)] + timing.receive_turnaround;
  const auto clashes = [&](int offset) {
    for (int port = 0; port < kLocalPorts; ++port) {
      const int receive = group.flight_cycles + offset + port;
      if (receive % period == 0 || (receive + store + own_hops) % period == 0) return true;
    }
    return false;
  };
  for (int offset = least; offset < least + period; ++offset) {
    if (!clashes(offset)) return offset;
  }
  LOCKSTEP_FAIL("no free receive cycle in a link period of %d", period);
  return 0;
}

// When the member's own vector leaves SRAM for its landing word, behind those for the others, in a
// cycle in which nothing received is written there.
int Collectives::OwnDelay(int period, int own_hops, int receive) const {
  const int store = timing.d_func[static_cast<int>(Opcode::kReceive)] + timing.receive_turnaround;
  const int first = receive + store + own_hops;
  int delay = kLocalPorts;
  while ((delay - first % period + period) % period < kLocalPorts) ++delay;
  return delay;
}

void Collectives::AsOne(Block& block, const Planes& area) const {
  for (int k = 0; k < area.planes; ++k) {
    const int slice = ColumnSlice(area.at.side, area.at.column, area.plane + k);
    block.AsOne({slice, area.at.address, group.size});
  }
}

void Collectives::Exchange(const char* name, const Planes& from, const Planes& to, Sends sends) {
  const bool each = sends == Sends::kOneToEach;
  const int stream = StreamNumber(Direction::kWest, kSendStream);
  const int period = LinkPeriod(timing);
  const int d_read = timing.d_func[static_cast<int>(Opcode::kRead)];
  const int own_hops = Hops(SlicePosition(ColumnSlice(to.at.side, to.at.column, 0)), kSxmWest);
  const int stagger = sends == Sends::kOneToAll ? 0 : kLocalPorts;  // of what is sent one to each
  const int wait = period + group.flight_cycles + ReceiveOffset(period, own_hops, stagger);
  const int own_delay = each ? OwnDelay(period, own_hops, wait) : 0;

  Block b(name);
  for (int k = 0; k < from.planes; ++k) {
    const int64_t send = int64_t{k} * period;
    const int source = ColumnSlice(from.at.side, from.at.column, from.plane + k);
    const int target = ColumnSlice(to.at.side, to.at.column, to.plane + k);
    for (int m = 0; m < group.size; ++m) {
      const int port = group.port[m];
      const bool own = port < 0;
      const int64_t at = send + (!each ? 0 : own ? own_delay : PortOrder(group, port));
      if (each || own) {
        b.At(MemQueue(source), ops::Read(from.at.address + (each ? m : 0), 0, stream),
             at - Hops(SlicePosition(source), kSxmWest) - d_read);
      }
      if (own && sends != Sends::kOneToAllButSelf) {
        b.At(MemQueue(target), ops::Write(to.at.address + m, 0, stream),
             at - Hops(SlicePosition(target), kSxmWest));
      }
      if (own) continue;
      LOCKSTEP_CHECK(port < kLocalPorts, "port %d is not beside the western SXM", port);
      b.At(C2cQueue(port), ops::Send(stream), at);
      b.At(C2cQueue(port), ops::Receive(target, to.at.address + m, 0),
           send + wait + PortOrder(group, port));
    }
  }
  AsOne(b, to);
  if (each) AsOne(b, from);
  // Links carry vectors in order, `period` apart; what follows comes after both.
  const int64_t last = int64_t{from.planes} * period - 1;
  b.HoldFor(HoldIndex(Hold::kSends, Hemisphere::kWest), 0, last + (each ? stagger : 0));
  b.HoldFor(HoldIndex(Hold::kReceives, Hemisphere::kWest), wait, wait + last);
  PlaceInStep(b, period);
}

// Words that are under way together keep one phase, so that their sends and receives, and the sums
// that read what came, never meet.
void Collectives::PlaceInStep(const Block& block, int period) {
  int64_t at = 0;
  for (;;) {
    at = (placer.Find(block, at) + period - 1) / period * period;
    if (placer.Find(block, at) == at) break;
  }
  placer.Place(block, at);
}

void Collectives::AllGather(Quad part, Quad landing, int words) {
  for (int w = 0; w < words; ++w) {
    Exchange("all-gather", {part + w, 0, 4}, {landing + w * group.size, 0, 4}, Sends::kOneToAll);
  }
}

void Collectives::AllReduceDirect(Quad part, Quad landing, int words, Quad base, bool add_base,
                                  Quad sum) {
  for (int w = 0; w < words; ++w) {
    if (group.size > 1) AllGather(part + w, landing + w * group.size, 1);
    const Quad source = group.size > 1 ? landing + w * group.size : part + w;
    placer.Place(Reduce({source, 0, 4}, add_base ? std::optional(base + w) : std::nullopt, sum + w));
  }
}

Block Collectives::Reduce(const Planes& parts, const std::optional<Quad>& base, Quad sum) const {
  const Quad at = parts.at;
  Chain c(timing, "reduce", group.size, AccumulatePeriod(timing, Opcode::kAdd), Chain::Ends::kLast);
  const Chain::Value part = parts.planes == 4
                                ? c.Load(at)
                                : c.To32(c.Load16({at.side, at.column, parts.plane, at.address}));
  Chain::Value v = c.Accumulate(Opcode::kAdd, part);
  if (base) v = c.Op(Opcode::kAdd, v, c.Load(*base));
  c.Store(v, sum);
  return c.Build();
}

void Collectives::Round(Quad part, Pair half) {
  Chain c(timing, "to half", 1);
  c.Store16(c.To16(c.Load(part)), half);
  placer.Place(c.Build());
}

void Collectives::AllReduceDirect16(Quad part, Pair half, Pair landing, int words, Quad base,
                                    bool add_base, Quad sum) {
  if (group.size == 1) return AllReduceDirect(part, {}, words, base, add_base, sum);
  for (int w = 0; w < words; ++w) {
    Round(part + w, half + w);
    const Pair to = landing + w * group.size;
    Exchange("all-gather", PlanesOf(half + w), PlanesOf(to), Sends::kOneToAll);
    placer.Place(Reduce(PlanesOf(to), add_base ? std::optional(base + w) : std::nullopt, sum + w));
  }
}

void Collectives::ScatterToOwners(Pair half, Pair landing) {
  Exchange("reduce-scatter", PlanesOf(half), PlanesOf(landing), Sends::kOneToEach);
}

void Collectives::GatherFromOwners(Pair landing, Quad sums) {
  const Quad own = sums + group.self;
  Block reduce = Reduce(PlanesOf(landing), std::nullopt, own);
  AsOne(reduce, {sums, 0, 4});
  placer.Place(reduce);
  Exchange("all-gather", {own, 0, 4}, {sums, 0, 4}, Sends::kOneToAllButSelf);
}

void Collectives::AddFromOwners(Quad sums, int first, int words, Quad to, int stride, bool add) {
  const int most = InPlace(timing, Opcode::kAdd, to);
  for (int w = 0; w < words; w += most) {
    const Quad here = to + w * stride;
    Chain c(timing, "add", std::min(most, words - w));
    Chain::Value v = c.Load(sums + (first + w));
    if (add) v = c.Op(Opcode::kAdd, v, c.Load(here, stride));
    c.Store(v, here, stride);
    Block& block = c.Build();
    AsOne(block, {sums, 0, 4});
    placer.Place(block);
  }
}

}  // namespace lockstep
